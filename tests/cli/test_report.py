"""`mita-otel report`: every kind, printed or written to a file; invalid arguments are explained."""

from __future__ import annotations

import csv
import json
import sys
import time
from contextlib import closing
from datetime import UTC, datetime
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from audit.kit import KEY, Kit
from cli.conftest import Command
from mita_otel import AuditEvent, cli
from mita_otel.reports.output import json_schema
from mita_otel.store.database import insert_rows
from mita_otel.store.tables import table_of
from mita_otel.store.telemetry_tables import ErrorRow


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MITA_OTEL_AUDIT_KEY", KEY)
    with closing(Kit(tmp_path / "service", url=f"sqlite:///{tmp_path / 'mita-otel.db'}")) as kit:
        kit.trail.record(AuditEvent(event_type="login_failed", user_id="u1"))


@pytest.mark.parametrize(
    ("kind", "title"),
    [
        ("performance", "Performance report"),
        ("compliance", "Compliance report"),
        ("daily", "Security events of the day"),
        ("weekly", "Performance and errors of the week"),
        ("monthly", "Compliance report of the month"),
        ("quarterly", "Executive summary of the quarter"),
    ],
)
def test_every_kind_is_printed_as_markdown(command: Command, kind: str, title: str) -> None:
    said = command("report", kind)
    assert (said.code, said.err) == (0, "")
    assert said.lines[0] == f"# {title}"


@pytest.mark.parametrize("ending", ["html", "md", "csv", "json"])
def test_the_ending_of_the_file_selects_the_format(command: Command, tmp_path: Path, ending: str) -> None:
    month = f"{datetime.now(UTC):%Y-%m}"
    said = command("report", "compliance", "--month", month, "-o", f"report.{ending}")
    assert said.lines == [f"report.{ending}"]
    text = (tmp_path / f"report.{ending}").read_text()
    assert "10.2.1.4" in text
    if ending == "json":
        audit = json.loads(text)["audit"]
        assert audit["verification"]["ok"]
        assert {one["name"] for one in audit["by_type"]} >= {"login_failed"}


def test_a_report_can_be_of_one_person_without_verification(command: Command) -> None:
    said = command("report", "compliance", "--days", "2", "--user", "u1", "--no-verify", "--format", "json")
    found = json.loads(said.out)
    assert found["audit"]["entries"] == 1
    assert found["audit"]["verification"] is None
    assert found["user"] == "u1"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compliance", "--month", "November"], "'November' is not a month"),
        (["compliance", "--month", "2026-11", "--days", "3"], "choose one of --month and --days"),
        (["performance", "--days", "0"], "--days 0: choose between 1 and 36500"),
        (["performance", "-o", "report.docx"], "use one of .json"),
        (["performance", "--format", "pdf"], "--format pdf: use one of json"),
        (["performance", "--source", "prometheus"], "--source prometheus: use store or sentry"),
        (["performance", "--source", "sentry"], "SENTRY_AUTH_TOKEN is not set"),
        (["quarterly", "--quarter", "Q4"], "'Q4' is not a quarter"),
        (["daily", "--day", "24.11."], "'24.11.' is not a day"),
    ],
)
def test_an_invalid_argument_is_one_message(command: Command, arguments: list[str], message: str) -> None:
    said = command("report", *arguments)
    assert (said.code, said.out) == (2, "")
    assert message in said.err
    assert "Traceback" not in said.err


def test_the_schema_is_printed(command: Command) -> None:
    assert json.loads(command("report", "schema").out) == json_schema()


def test_creating_a_report_is_audited(command: Command) -> None:
    command("report", "daily")
    assert "report daily" in command("audit", "search", "--type", "report_export").out


def test_creating_the_report_again_is_not_a_review(command: Command) -> None:
    for _ in range(3):
        said = command("report", "compliance", "--days", "2", "--format", "json")
    found = {one["id"]: one for one in json.loads(said.out)["requirements"]}
    assert found["10.4.1"]["status"] == "not_yet"
    assert found["10.2.1.2"]["evidence"].startswith("no entry of the types configuration_change")
    assert (found["10.2.1.3"]["status"], found["10.2.1.3"]["evidence"]) == ("evidence", "report_export: 2")


def test_a_report_names_organisation_scope_and_reviewer_and_verifies(
    command: Command, tmp_path: Path
) -> None:
    (tmp_path / "mita-otel.toml").write_text('[reports]\norganisation = "MITA"\nscope = "card payments"\n')
    assert command("report", "monthly", "--reviewed-by", "A. Auditor", "-o", "r.json").code == 0
    found = json.loads((tmp_path / "r.json").read_text())
    assert (found["organisation"], found["scope"], found["reviewed_by"]) == (
        "MITA",
        "card payments",
        "A. Auditor",
    )
    assert found["requested_by"]
    said = command("report", "verify", "r.json")
    assert said.code == 0
    assert "unchanged, signed with key" in said.out
    (tmp_path / "r.json").write_text((tmp_path / "r.json").read_text().replace("A. Auditor", "B. Auditor"))
    assert command("report", "verify", "r.json").code != 0


@pytest.mark.parametrize(
    ("script", "arguments", "title"),
    [
        ("generate_performance_report", ["--days", "7"], "Performance report"),
        ("generate_compliance_report", ["--month", "2026-11"], "Compliance report"),
    ],
)
def test_the_scripts_of_the_monitoring_guide_write_the_same_reports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    script: str, arguments: list[str], title: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [script, *arguments])
    with pytest.raises(SystemExit) as end:
        getattr(cli, script)()
    assert not end.value.code
    assert capsys.readouterr().out.startswith(f"# {title}\n")
    assert {one.name for one in entry_points(group="console_scripts")} >= {script}


HOSTILE = "a\x1b[31m\x9b2J\x7f\u202ee\r\n=1+1\x00"


@pytest.mark.parametrize("form", ["md", "csv", "json", "html"])
def test_reports_contain_no_terminal_escapes(command: Command, tmp_path: Path, form: str) -> None:
    """Users, error types and messages are untrusted input."""
    with closing(Kit(tmp_path / "service", url=f"sqlite:///{tmp_path / 'mita-otel.db'}")) as kit:
        kit.trail.record(AuditEvent(event_type="login", user_id=HOSTILE, resource_id=HOSTILE))
        kit.trail.flush(30)
        row = dict.fromkeys(("category", "severity", "name", "message", "service", "environment"), HOSTILE)
        with kit.database.write() as connection:
            errors = [
                {**row, "occurred_ns": time.time_ns(), "kind": kind, "details": "{}", "trace_id": HOSTILE}
                for kind in ("error", "security", "compliance")
            ]
            insert_rows(connection, table_of(ErrorRow), errors)
    said = command("report", "compliance", "--days", "2", "--reviewed-by", HOSTILE, "--format", form)
    assert said.code == 0
    assert "1+1" in said.out
    lines = said.out.split("\r\n" if form == "csv" else "\n")
    assert [line for line in lines if not line.isprintable()] == []
    if form == "csv":
        cells = [cell for row in csv.reader(lines) for cell in row]
        assert [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))] == []
    if form == "json":
        assert json.loads(said.out)["reviewed_by"] == HOSTILE


def test_commands_print_stored_text_without_terminal_escapes(command: Command, tmp_path: Path) -> None:
    with closing(Kit(tmp_path / "service", url=f"sqlite:///{tmp_path / 'mita-otel.db'}")) as kit:
        kit.trail.record(AuditEvent(event_type="login", user_id=HOSTILE, details={"x": HOSTILE}))
    for arguments in (
        ("audit", "search"),
        ("audit", "search", "--json"),
        ("audit", "export", "-"),
        ("audit", "export", "e.csv"),
        ("subject", "export", "--user", HOSTILE),
        ("retention", "hold", "--reason", HOSTILE),
        ("retention", "holds"),
    ):
        said = command(*arguments)
        assert said.code == 0, arguments
        assert [one for one in said.out + said.err if not one.isprintable() and one != "\n"] == [], arguments
    text = (tmp_path / "e.csv").read_text()
    assert [one for one in text if not one.isprintable() and one not in "\r\n"] == []
