"""Links in the documentation resolve, its code runs, its policies are valid, and the reference is up to date."""

from __future__ import annotations

import functools
import re
import tomllib
from pathlib import Path

import pytest
from docs.generate import declarations, pages

from documentation.markdown import PAGES, ROOT, Block, anchors, blocks, links
from e2e.script import run_script
from mita_otel import environment_variables, semconv
from mita_otel.policy import check_policy


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_resolve(page: Path) -> None:
    for link in links(page):
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_files_and_tests_named_in_a_page_exist(page: Path) -> None:
    text = page.read_text("utf-8")
    paths = re.findall(r"`((?:tests|src|benchmarks|examples|docs)/[\w/.-]+)`", text)
    paths += re.findall(r"python ((?:benchmarks|examples)/[\w/.-]+\.py)", text)
    assert [path for path in paths if not (ROOT / path).exists()] == []
    named = re.findall(r"`(test_\w+)`", text)
    assert [test for test in named if f"def {test}(" not in _tests() and f"{test} = " not in _COMMANDS] == []


_COMMANDS = (ROOT / "pyproject.toml").read_text("utf-8")


@functools.cache
def _tests() -> str:
    return "".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))


def test_the_index_links_to_every_page() -> None:
    front = ROOT / "docs" / "README.md"
    linked = {(front.parent / link.partition("#")[0]).resolve() for link in links(front)}
    assert linked >= {page for page in PAGES if page.is_relative_to(front.parent)} - {front}


@pytest.mark.parametrize("block", blocks("python"), ids=repr)
def test_python_blocks_run_without_errors(block: Block, tmp_path: Path) -> None:
    ran = run_script(block.code, tmp_path, {"MITA_OTEL_FILE": str(tmp_path / "spans.jsonl")})
    assert "Traceback" not in ran.stderr
    errors = [line for line in ran.log("ERROR") if "SENTRY_DSN is not set" not in line]
    assert errors == []


@pytest.mark.parametrize("block", [one for one in blocks("toml") if "[[spans]]" not in one.code], ids=repr)
def test_policy_blocks_are_valid(block: Block, tmp_path: Path) -> None:
    path = tmp_path / "mita-otel.toml"
    path.write_text(block.code)
    assert check_policy(path, env={}).problems == ()


REFERENCE = sorted((ROOT / "docs" / "reference").iterdir())


@functools.cache
def _generated() -> dict[Path, str]:
    return dict(pages())


@pytest.mark.parametrize("path", REFERENCE, ids=name)
def test_the_reference_is_up_to_date(path: Path) -> None:
    assert path.read_text("utf-8") == _generated()[path], f"{name(path)} is out of date: run `make docs`"


def test_the_architecture_page_lists_the_import_layers() -> None:
    page = (ROOT / "docs" / "explanation" / "architecture.md").read_text("utf-8")
    rows = re.findall(
        r"^\| ((?:`\w+`(?:, )?)+) \|", page.partition("## Packages")[2].partition("## ")[0], re.MULTILINE
    )
    listed = [set(re.findall(r"\w+", row)) for row in rows]
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"][
        "contracts"
    ][0]
    *packages, modules = [set(re.findall(r"mita_otel\.(\w+)", layer)) for layer in contract["layers"]]
    assert "errors" in modules
    assert listed == packages


def test_the_reference_contains_only_generated_pages() -> None:
    assert set(REFERENCE) == set(_generated())


def test_every_environment_variable_is_described() -> None:
    found = [one for _, every in declarations(environment_variables) for one in every]
    assert {one.value for one in found} == environment_variables.names() | {"MITA_OTEL_"}
    assert [one.constant for one in found if not one.meaning] == []


def test_every_attribute_of_mita_otel_is_described() -> None:
    found = [one for _, every in declarations(semconv) for one in every]
    ours = [one for one in found if isinstance(one.value, str) and one.value.startswith("mita.")]
    assert len(ours) > 20
    assert [one.constant for one in ours if not one.meaning] == []


def test_the_readme_states_the_default_limits() -> None:
    from mita_otel.policy import default_policy

    readme = (ROOT / "README.md").read_text("utf-8")
    policy = default_policy()
    methods = re.search(r"thresholds\.api\.methods`\].*?\| (.*?) ms \|", readme)
    assert methods
    stated = dict(pair.split(" ") for pair in methods[1].split(", "))
    assert {
        method: float(limit) for method, limit in stated.items()
    }.items() <= policy.thresholds.api.methods.items()
    statements = re.search(r"thresholds\.database`\].*?\| (.*?) ms \|", readme)
    assert statements
    stated = dict(pair.split(" ") for pair in statements[1].split(", "))
    assert {verb: float(limit) for verb, limit in stated.items()} == policy.thresholds.database
    financial = re.search(r"thresholds\.api\.financial`\].*?\| (.*?) ms \|", readme)
    assert financial
    for method, limit, segments in re.findall(r"(\w+) (\d+)(?: \(([\w, ]+)\))?", financial[1]):
        rule = policy.thresholds.api.financial[method]
        assert rule.limit_ms == float(limit)
        assert not segments or list(rule.segments) == segments.split(", ")
