"""What the pages link to is there, their code runs, their policies are good, and the reference is up to date."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from docs.generate import declarations, pages

from documentation.markdown import PAGES, ROOT, Block, anchors, blocks, links
from e2e.script import run_script
from mita_otel import environment_variables, semconv
from mita_otel.policy import check_policy

TUTORIAL_SERVICE = "A bank of one card"


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in links(page):
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


def test_every_page_of_the_documentation_can_be_reached_from_its_front_page() -> None:
    front = ROOT / "docs" / "README.md"
    linked = {(front.parent / link.partition("#")[0]).resolve() for link in links(front)}
    assert linked >= {page for page in PAGES if page.is_relative_to(front.parent)} - {front}


@pytest.mark.parametrize("block", blocks("python"), ids=repr)
def test_python_in_a_page_runs(block: Block, tmp_path: Path) -> None:
    ran = run_script(block.code, tmp_path, {"MITA_OTEL_FILE": str(tmp_path / "spans.jsonl")})
    assert "Traceback" not in ran.stderr
    errors = [line for line in ran.log("ERROR") if "SENTRY_DSN is not set" not in line]
    assert errors == []


@pytest.mark.parametrize("block", blocks("toml"), ids=repr)
def test_a_policy_in_a_page_is_good(block: Block, tmp_path: Path) -> None:
    path = tmp_path / "mita-otel.toml"
    path.write_text(block.code)
    assert check_policy(path, env={}).problems == ()


@pytest.mark.parametrize(
    ("path", "text"), list(pages()), ids=lambda one: one.name if isinstance(one, Path) else ""
)
def test_the_reference_is_up_to_date(path: Path, text: str) -> None:
    assert path.read_text("utf-8") == text, f"{name(path)} is out of date: run `make docs` and commit it"


def test_the_reference_has_no_other_pages() -> None:
    assert {path.name for path in (ROOT / "docs" / "reference").iterdir()} == {
        path.name for path, _ in pages()
    }


def test_every_variable_says_what_it_is_for() -> None:
    found = [one for _, every in declarations(environment_variables) for one in every]
    assert {one.value for one in found} == environment_variables.names() | {"MITA_OTEL_"}
    assert [one.constant for one in found if not one.meaning] == []


def test_every_name_of_ours_says_what_it_is_for() -> None:
    found = [one for _, every in declarations(semconv) for one in every]
    ours = [one for one in found if isinstance(one.value, str) and one.value.startswith("mita.")]
    assert len(ours) > 20
    assert [one.constant for one in ours if not one.meaning] == []


def test_what_the_readme_says_of_the_defaults_is_true() -> None:
    from mita_otel.policy import default_policy

    readme = (ROOT / "README.md").read_text("utf-8")
    policy = default_policy()
    methods = re.search(r"thresholds\.api\.methods`\].*?\| (.*?) ms \|", readme)
    assert methods
    told = dict(pair.split(" ") for pair in methods[1].split(", "))
    assert {
        method: float(limit) for method, limit in told.items()
    }.items() <= policy.thresholds.api.methods.items()
    statements = re.search(r"thresholds\.database`\].*?\| (.*?) ms \|", readme)
    assert statements
    told = dict(pair.split(" ") for pair in statements[1].split(", "))
    assert {verb: float(limit) for verb, limit in told.items()} == policy.thresholds.database
    financial = re.search(r"thresholds\.api\.financial`\].*?\| (.*?) ms \|", readme)
    assert financial
    for method, limit, segments in re.findall(r"(\w+) (\d+)(?: \(([\w, ]+)\))?", financial[1]):
        rule = policy.thresholds.api.financial[method]
        assert rule.limit_ms == float(limit)
        assert not segments or list(rule.segments) == segments.split(", ")
