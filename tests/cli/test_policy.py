"""`mita-otel policy show` and `mita-otel policy check`."""

from __future__ import annotations

import io
import json
import re
import tomllib
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from cli.conftest import Command
from mita_otel.cli import policy as policy_command
from mita_otel.policy import default_policy, load_policy, load_with_origins

POLICY = """\
[thresholds.api.methods]
GET = 400

[export]
traces = ["sentry"]

[environments.staging.export]
traces = ["sentry", "file"]
"""


@pytest.fixture
def policy_file(tmp_path: Path) -> Path:
    path = tmp_path / "mita-otel.toml"
    path.write_text(POLICY)
    return path


def rows(out: str) -> dict[str, tuple[str, str]]:
    """Return the table's rows: key -> value, source."""
    lines = [re.split(r"\s{2,}", line.strip()) for line in out.splitlines()[2:]]
    return {cells[0]: (cells[1], cells[2]) for cells in lines}


# --- show --------------------------------------------------------------------------------------------
def test_each_setting_is_a_row_with_its_value_and_source(command: Command, policy_file: Path) -> None:
    said = command("policy", "show", env={"MITA_OTEL_SENTRY__MAX_SPANS": "7"})
    assert (said.code, said.err) == (0, "")
    assert said.lines[0] == "Policy for production, from mita-otel.toml"
    table = rows(said.out)
    assert table["thresholds.api.methods.GET"] == ("400", "mita-otel.toml:2")
    assert table["thresholds.api.methods.POST"] == ("1000", "defaults")
    assert table["export.traces"] == ('["sentry"]', "mita-otel.toml:5")
    assert table["sentry.max_spans"] == ("7", "MITA_OTEL_SENTRY__MAX_SPANS")
    assert len(table) == len(dict(default_policy().values()))


def test_environment_and_file_can_be_selected(command: Command, policy_file: Path, tmp_path: Path) -> None:
    other = policy_file.rename(tmp_path / "other.toml")
    table = rows(command("policy", "show", "-e", "staging", "--policy", str(other)).out)
    assert table["export.traces"] == ('["sentry", "file"]', "other.toml:8")
    assert table["thresholds.api.methods.POST"] == ("1500", "defaults (staging)")


def test_the_current_environment_is_the_default(command: Command) -> None:
    said = command("policy", "show", "thresholds.database.SELECT", env={"ENVIRONMENT": "development"})
    assert said.lines[0] == "Policy for development, no policy file"
    assert rows(said.out) == {"thresholds.database.SELECT": ("500", "defaults (development)")}


def test_an_opentelemetry_variable_is_shown_as_source(command: Command) -> None:
    table = rows(command("policy", "show", "export.traces", env={"OTEL_TRACES_EXPORTER": "file,none"}).out)
    assert table == {"export.traces": ('["file", "none"]', "OTEL_TRACES_EXPORTER")}


@pytest.mark.parametrize("section", ["thresholds.api", "[thresholds.api]", " thresholds.api "])
def test_show_can_be_limited_to_a_section(command: Command, section: str) -> None:
    table = rows(command("policy", "show", section).out)
    assert {key.rpartition(".")[0] for key in table} >= {"thresholds.api", "thresholds.api.methods"}
    assert all(key.startswith("thresholds.api.") for key in table)


def test_long_lists_are_shortened_except_for_a_selected_key(command: Command) -> None:
    assert re.search(r"redaction\.keys\.descriptive .* … \d+ in all\]", command("policy", "show").out)
    said = command("policy", "show", "redaction.keys.descriptive").out
    assert '"prefix"]' in said
    assert "…" not in said


def test_changed_shows_only_settings_that_differ_from_the_defaults(
    command: Command, policy_file: Path
) -> None:
    """`export.traces` is set to its default value."""
    assert list(rows(command("policy", "show", "--changed").out)) == ["thresholds.api.methods.GET"]
    said = command("policy", "show", "sentry", "--changed")
    assert said.lines[1:] == ["All settings are defaults."]


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("tresholds.api", "did you mean thresholds.api?"),
        ("qqq", "use one of alerts, audit, "),
        ("a = 1", "no such section or setting"),
        ("", "no such section or setting"),
    ],
)
def test_an_unknown_section_is_an_error_with_suggestions(command: Command, section: str, said: str) -> None:
    ran = command("policy", "show", section)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err
    assert len(ran.err.splitlines()) == 1


@pytest.mark.parametrize("environment", ["production", "staging", "development", "qa"])
def test_the_toml_output_is_an_equal_policy_file(command: Command, tmp_path: Path, environment: str) -> None:
    path = tmp_path / "all.toml"
    path.write_text(command("policy", "show", "--toml", "-e", environment).out)
    assert load_policy(path, environment=environment, env={}) == default_policy(environment)
    assert command("policy", "show", "--changed", "-e", environment, "-p", str(path)).lines[1:] == [
        "All settings are defaults."
    ]


def test_the_toml_output_names_the_source_of_changed_settings(command: Command, policy_file: Path) -> None:
    said = command("policy", "show", "--toml", "--changed")
    assert said.lines[1:] == ["", "[thresholds.api.methods]", "GET = 400  # mita-otel.toml:2"]
    assert tomllib.loads(said.out) == {"thresholds": {"api": {"methods": {"GET": 400}}}}


def test_the_json_output_has_policy_and_sources(command: Command, policy_file: Path) -> None:
    shown = json.loads(command("policy", "show", "--json", "-e", "staging").out)
    assert (shown["environment"], shown["file"]) == ("staging", str(policy_file))
    assert shown["policy"]["export"]["traces"] == ["sentry", "file"]
    assert shown["from"]["export.traces"] == f"{policy_file}:8"
    expected = load_policy(policy_file, environment="staging", env={})
    assert shown["policy"] == expected.to_dict(only_given=True)


def test_toml_and_json_together_are_refused(command: Command) -> None:
    ran = command("policy", "show", "--json", "--toml")
    assert ran.code == 2
    assert "use either --toml or --json" in ran.err


def test_a_password_in_a_url_is_not_shown(command: Command) -> None:
    env = {"MITA_OTEL_STORE__URL": "postgresql://bank:hunter2-Zx81Qp@db.example/bank"}
    for form in ([], ["--toml"], ["--json"]):
        said = command("policy", "show", "store", *form, env=env)
        assert "db.example/bank" in said.out
        assert "hunter2" not in said.out


@pytest.mark.parametrize("form", [[], ["--toml"], ["--json"]])
def test_an_invalid_policy_is_an_error_and_not_shown(
    command: Command, tmp_path: Path, form: list[str]
) -> None:
    (tmp_path / "mita-otel.toml").write_text("[sentri]\n[sentry]\nmax_spans = 0\n")
    ran = command("policy", "show", *form)
    assert (ran.code, ran.out) == (2, "")
    assert len(ran.err.splitlines()) == 2


@pytest.mark.parametrize("width", [60, 100, 300])
def test_a_terminal_shows_complete_values(
    monkeypatch: pytest.MonkeyPatch, policy_file: Path, width: int
) -> None:
    terminal = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    monkeypatch.setattr(policy_command, "console", lambda: terminal)
    loaded = load_with_origins(policy_file, env={})
    policy_command._print_table(loaded, list(loaded.settings()), shorten=False)
    written = terminal.file.getvalue()  # type: ignore[attr-defined]
    assert max(map(cell_len, written.splitlines())) <= width
    assert "…" not in written


# --- check -------------------------------------------------------------------------------------------
def test_a_valid_policy_is_reported_with_its_environments(command: Command, policy_file: Path) -> None:
    said = command("policy", "check")
    assert said == (0, "mita-otel.toml: valid for production, staging, development\n", "")


def test_without_a_file_the_defaults_are_valid(command: Command) -> None:
    said = command("policy", "check")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("no policy file, defaults: valid for production")


def test_each_problem_of_each_environment_is_a_line(command: Command, tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text(
        "[sentri]\n[thresholds.database]\nSELECT = 0\n[environments.qa.sentry]\nmax_spanz = 1\n"
        "[environments.staging.redaction.modes]\nemail = 'maks'\n"
    )
    said = command("policy", "check", "bad.toml", env={"MITA_OTEL_SENTRY__MAX_SPANS": "many"})
    assert said.code == 1
    assert [re.match(r"[\w.:]+: [\w.]+: ", line)[0] for line in said.lines] == [  # type: ignore[index]
        "bad.toml:1: sentri: ",
        "bad.toml:3: thresholds.database.SELECT: ",
        "bad.toml:5: environments.qa.sentry.max_spanz: ",
        "bad.toml:7: environments.staging.redaction.modes.email: ",
        "MITA_OTEL_SENTRY__MAX_SPANS: sentry.max_spans: ",
    ]
    assert said.err == "5 problems\n"


def test_a_conflict_with_a_default_overlay_is_found(command: Command, tmp_path: Path) -> None:
    """The base is valid for production, but conflicts with the default limit for staging."""
    (tmp_path / "mita-otel.toml").write_text(
        "[environments.staging.thresholds.api.methods]\nGET = { follow = 'p99 * 2', floor_ms = 2, ceiling_ms = 1 }\n"
    )
    said = command("policy", "check")
    assert said.code == 1
    assert (
        "mita-otel.toml:2: environments.staging.thresholds.api.methods.GET: floor_ms (2) is above" in said.out
    )


@pytest.mark.parametrize("path", ["missing.toml", "."])
def test_a_missing_or_unreadable_file_is_a_problem(command: Command, path: str) -> None:
    said = command("policy", "check", path)
    assert (said.code, said.err) == (1, "1 problem\n")
    assert said.out.startswith(f"{path}: ")


def test_an_uninstalled_finder_is_a_problem(command: Command, tmp_path: Path) -> None:
    (tmp_path / "mita-otel.toml").write_text("[environments.qa.redaction.custom.member]\nfinder = 'absent'\n")
    said = command("policy", "check")
    assert (said.code, said.err) == (1, "1 problem\n")
    assert "[redaction.custom.member] finder = 'absent'" in said.out


def test_an_environment_that_resembles_another_is_noted(command: Command, tmp_path: Path) -> None:
    (tmp_path / "mita-otel.toml").write_text(
        "[environments.stagging.sentry]\nmax_spans = 1\n[environments.qa]\n"
    )
    said = command("policy", "check")
    assert said.code == 0
    assert said.lines == [
        "mita-otel.toml: environments.stagging: note: did you mean staging?",
        "mita-otel.toml: valid for production, staging, development, stagging, qa",
    ]


def test_the_policy_of_the_example_is_valid(command: Command) -> None:
    path = Path(__file__).parents[2] / "examples" / "environments" / "mita-otel.toml"
    assert command("policy", "check", str(path)).code == 0


# --- export ------------------------------------------------------------------------------------------
def test_limits_and_rules_are_exported_for_prometheus(command: Command, policy_file: Path) -> None:
    said = command("policy", "export", "--prometheus", "-e", "staging")
    assert (said.code, said.err) == (0, "")
    assert 'expr: "vector(0.4)"' in said.out and 'environment: "staging"' in said.out
    assert command("policy", "export").code == 2


def test_channels_are_exported_for_alertmanager(command: Command, policy_file: Path) -> None:
    said = command("policy", "export", "--alertmanager", "-e", "staging")
    assert (said.code, said.err) == (0, "")
    assert r"environment=\"staging\"" in said.out
    assert "SLACK_PAYMENTS_WEBHOOK" in said.out
    assert command("policy", "export", "--alertmanager", "--prometheus").code == 2
