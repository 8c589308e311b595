"""`mita-otel report`: every kind, printed or written, with what was asked wrong said in words."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from audit.kit import KEY, Kit
from cli.conftest import Command
from mita_otel import AuditEvent
from mita_otel.reports.output import json_schema


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
def test_the_files_ending_says_the_format(command: Command, tmp_path: Path, ending: str) -> None:
    month = f"{datetime.now(UTC):%Y-%m}"
    said = command("report", "compliance", "--month", month, "-o", f"report.{ending}")
    assert said.lines == [f"report.{ending}"]
    text = (tmp_path / f"report.{ending}").read_text()
    assert "10.2.1.4" in text
    if ending == "json":
        audit = json.loads(text)["audit"]
        assert audit["verification"]["ok"]
        assert {one["name"] for one in audit["by_type"]} >= {"login_failed"}


def test_of_one_person_and_without_verification(command: Command) -> None:
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
def test_what_cannot_be_asked_is_one_message(command: Command, arguments: list[str], message: str) -> None:
    said = command("report", *arguments)
    assert (said.code, said.out) == (2, "")
    assert message in said.err
    assert "Traceback" not in said.err


def test_the_schema_is_printed(command: Command) -> None:
    assert json.loads(command("report", "schema").out) == json_schema()


def test_a_report_is_an_entry_of_the_trail(command: Command) -> None:
    command("report", "daily")
    assert "report daily" in command("audit", "search", "--type", "report_export").out


def test_creating_the_report_again_is_no_review(command: Command) -> None:
    for _ in range(3):
        said = command("report", "compliance", "--days", "2", "--format", "json")
    found = {one["id"]: one for one in json.loads(said.out)["requirements"]}
    assert found["10.4.1"]["status"] == "not_yet"
    assert found["10.2.1.2"]["evidence"].startswith("no entry of the types configuration_change")
    assert (found["10.2.1.3"]["status"], found["10.2.1.3"]["evidence"]) == ("evidence", "report_export: 2")


def test_a_report_names_organisation_scope_and_people_and_can_be_checked(
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
