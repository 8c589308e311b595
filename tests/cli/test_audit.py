"""`mita-otel audit`, `retention`, `subject` and `store`: commands of auditors and operators."""

from __future__ import annotations

import csv
import io
import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from audit.kit import KEY, Kit
from cli.conftest import Command
from mita_otel import AuditEvent
from mita_otel.audit.anchors import read_anchors
from mita_otel.audit.canonical import AuditKeys

ENV = {"MITA_OTEL_AUDIT_KEY": KEY}


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MITA_OTEL_AUDIT_KEY", KEY)


@pytest.fixture
def trail(tmp_path: Path, command: Command) -> Path:
    """A folder with the trail of a service."""
    with closing(Kit(tmp_path / "service", url=f"sqlite:///{tmp_path / 'mita-otel.db'}")) as kit:
        for number in range(5):
            kit.trail.record(
                AuditEvent(
                    event_type="payment_process" if number % 2 else "login",
                    user_id=f"user-{number % 2}",
                    outcome="failure" if number == 4 else "success",
                    resource_id="=cmd()",
                    details={"n": number, "email": "a@example.org"},
                )
            )
    return tmp_path


def tamper(folder: Path, statement: str) -> None:
    with closing(sqlite3.connect(folder / "mita-otel.db")) as connection, connection:
        connection.execute("DROP TRIGGER mita_audit_entries_update")
        connection.execute("DROP TRIGGER mita_audit_entries_delete")
        connection.execute(statement)


def types(folder: Path) -> list[str]:
    with closing(sqlite3.connect(folder / "mita-otel.db")) as connection:
        return [
            one
            for (one,) in connection.execute("SELECT event_type FROM mita_audit_entries ORDER BY recorded_ns")
        ]


def test_an_untouched_trail_verifies(trail: Path, command: Command) -> None:
    said = command("audit", "verify", "--anchors", str(trail / "service" / "anchors.jsonl"))
    assert said.code == 0
    assert said.out.startswith("no error found: 8 entries in 1 chain, 1 anchor compared")
    assert "audit_verify" in types(trail)


def test_a_fault_is_reported_with_exit_status_1(trail: Path, command: Command) -> None:
    tamper(trail, "UPDATE mita_audit_entries SET outcome = 'denied' WHERE sequence = 4")
    said = command("audit", "verify")
    assert said.code == 1
    assert "4: the column outcome was changed" in said.out
    assert "the trigger mita_audit_entries_update is missing" in said.out
    found = json.loads(command("audit", "verify", "--json").out)
    assert (found["ok"], found["faults"]["column"]) == (False, 1)


def test_without_anchors_verification_names_what_it_does_not_check(trail: Path, command: Command) -> None:
    said = command("audit", "verify").out
    assert (
        "not verified: whether the last entries of a chain were deleted: there are no anchors; see mita-otel audit anchor"
        in said
    )


def test_the_newest_entries_are_shown_and_the_read_is_audited(trail: Path, command: Command) -> None:
    said = command("audit", "tail", "-n", "3")
    assert said.code == 0
    assert [line.split()[2] for line in said.lines] == ["payment_process", "login", "audit_stop"]
    assert types(trail)[-4:] == ["audit_start", "configuration_change", "audit_read", "audit_stop"]


def test_control_characters_in_entries_are_escaped(tmp_path: Path, command: Command) -> None:
    with closing(Kit(tmp_path / "service", url=f"sqlite:///{tmp_path / 'mita-otel.db'}")) as kit:
        forged = "u\n2026-11-25 00:00:00  login  success  admin\x1b[2K\x9b1A\u202e"
        kit.trail.record(AuditEvent(event_type="test", user_id=forged, details={"note": "\x9b2J"}))
    shown = command("audit", "search", "--type", "test").out
    assert len(shown.splitlines()) == 1
    assert "u\\n2026-11-25" in shown
    assert all(one == "\n" or one.isprintable() for one in shown)


def test_a_search_returns_matching_entries(trail: Path, command: Command) -> None:
    said = command("audit", "search", "--user", "user-0", "--type", "login", "--outcome", "failure", "--json")
    [found] = [json.loads(line) for line in said.lines]
    assert (found["user_id"], found["details"]) == ("user-0", {"n": 4, "email": "a@example.org"})
    assert command("audit", "search", "--since", "1h", "--type", "login").out.count("login") == 3
    assert command("audit", "search", "--until", "1h").out == ""
    said = command("audit", "search", "--limit", "2")
    assert said.err == "only the newest 2 are shown; see --limit, --since and --until for more\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--since", "yesterday"], "--since yesterday: not a time; use 2026-11-25T09:30"),
        (["--type", "Not A Type"], "is not an audit event type"),
        (
            ["--outcome", "refused"],
            "'refused' is not an outcome; use one of success, failure, denied, unknown",
        ),
    ],
)
def test_an_invalid_search_is_one_message(command: Command, arguments: list[str], message: str) -> None:
    said = command("audit", "search", *arguments)
    assert (said.code, said.out) == (2, "")
    assert message in said.err


def test_an_export_has_every_entry_without_formulas(trail: Path, command: Command) -> None:
    said = command("audit", "export", "all.jsonl", "--service", "payments", "--until", "2100-01-01")
    assert said.err == "8 entries\n"
    lines = [json.loads(line) for line in (trail / "all.jsonl").read_text().splitlines()]
    assert [one["sequence"] for one in lines] == list(range(8))
    assert (trail / "all.jsonl").stat().st_mode & 0o077 == 0
    command("audit", "export", "all.csv", "--type", "login")
    rows = list(csv.DictReader(io.StringIO((trail / "all.csv").read_bytes().decode())))
    assert [row["resource_id"] for row in rows] == ["'=cmd()"] * 3
    assert json.loads(rows[0]["details"])["n"] == 0
    assert command("audit", "export", "all.txt").code == 2


def test_anchors_can_be_written_to_another_file(trail: Path, command: Command) -> None:
    command("audit", "anchor", "-o", "elsewhere.jsonl")
    assert len(list(read_anchors(trail / "elsewhere.jsonl"))) >= 1
    tamper(trail, "DELETE FROM mita_audit_entries WHERE sequence >= 6")
    said = command("audit", "verify", "--anchors", "elsewhere.jsonl")
    assert said.code == 1
    assert "missing" in said.out


def test_flush_moves_entries_of_a_dead_process(tmp_path: Path, command: Command) -> None:
    from audit.test_mover import leave
    from mita_otel.spool import SpoolFolder

    leave(SpoolFolder(tmp_path / "mita-otel-audit"), 5)
    said = command("audit", "flush")
    assert said.out == "1 chain moved; 0 in use by a writer\n"
    assert types(tmp_path).count("test") == 5


def test_a_missing_key_is_reported_once_per_chain(
    trail: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MITA_OTEL_AUDIT_KEY", "another key than the service's")
    said = command("audit", "verify")
    assert said.code == 1
    reported = [
        line for line in said.out.splitlines() if "is unknown; add it to MITA_OTEL_AUDIT_OLD_KEYS" in line
    ]
    assert [line.partition(": ")[0] for line in reported] == ["key"]
    assert re.search(r"… and \d+ more errors", said.out)


@pytest.mark.parametrize(
    "arguments", [("audit", "verify"), ("audit", "tail"), ("report", "daily"), ("retention", "check")]
)
def test_without_the_key_commands_on_a_signed_trail_are_refused(
    trail: Path, command: Command, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    """An unsigned chain would be reported by each later verification."""
    before = types(trail)
    monkeypatch.delenv("MITA_OTEL_AUDIT_KEY")
    said = command(*arguments)
    assert (said.code, said.out) == (2, "")
    assert "MITA_OTEL_AUDIT_KEY is not set" in said.err
    monkeypatch.setenv("MITA_OTEL_AUDIT_KEY", "short")
    said = command(*arguments)
    assert (said.code, said.out) == (2, "")
    assert "a key of 5 characters; it needs at least 16" in said.err
    assert types(trail) == before


def test_an_unsigned_trail_verifies_with_allow_unkeyed(tmp_path: Path, command: Command) -> None:
    with closing(Kit(tmp_path, url=f"sqlite:///{tmp_path / 'mita-otel.db'}", keys=AuditKeys(None))) as kit:
        kit.trail.record(AuditEvent(event_type="test"))
    said = command("audit", "verify", "--anchors", "anchors.jsonl")
    assert said.code == 1
    assert "--allow-unkeyed" in said.out
    said = command("audit", "verify", "--anchors", "anchors.jsonl", "--allow-unkeyed")
    assert "no error found" in said.out
    tamper(tmp_path, "DELETE FROM mita_audit_entries WHERE sequence >= 2")
    assert command("audit", "verify", "--anchors", "anchors.jsonl", "--allow-unkeyed").code == 1


def test_a_command_that_cannot_be_audited_is_refused(tmp_path: Path, command: Command) -> None:
    (tmp_path / "mita-otel-audit").write_text("a file, and no folder")
    said = command("audit", "tail")
    assert (said.code, said.out) == (2, "")
    assert "it is not in the trail" in said.err


def test_an_unreachable_store_is_reported_in_one_message(command: Command) -> None:
    said = command("audit", "tail", env={"MITA_OTEL_DATABASE_URL": "sqlite:////nowhere/at/all.db"})
    assert said.code == 2
    assert "does not answer: unable to open database file" in said.err
    assert "Traceback" not in said.err


# --- retention, subject, store -----------------------------------------------------------------------
def test_retention_is_applied_checked_and_audited(trail: Path, command: Command) -> None:
    said = command("retention", "apply", "--dry-run")
    assert said.code == 0
    assert "mita_audit_entries                  0 to delete" in said.out
    assert "retention_apply" not in types(trail)
    assert "deleted" in command("retention", "apply").out
    assert "retention_apply" in types(trail)
    said = command("retention", "check")
    assert said.code == 0
    assert "PCI DSS 10.5.1, audit: not yet; requires 365 days, 92 immediately available" in said.out
    assert json.loads(command("retention", "apply", "--json").out)["tombstones"] == 0


def test_legal_holds_are_placed_listed_and_released(trail: Path, command: Command) -> None:
    hold = command("retention", "hold", "--reason", "case 7", "--user", "user-1").out.strip()
    assert "case 7" in command("retention", "holds").out
    said = command("subject", "erase", "--user", "user-1", "--reason", "r", "--yes")
    assert said.code == 2
    assert f"mita-otel retention release {hold}" in said.err
    command("retention", "release", hold)
    assert command("retention", "holds").out == ""
    assert "released by" in command("retention", "holds", "--all").out
    assert command("retention", "release", hold).code == 2
    assert "use one of audit" in command("retention", "hold", "--reason", "x", "--data", "logs").err


def test_a_person_is_exported_and_erased(
    trail: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = command("subject", "export", "--user", "user-1")
    assert len(said.lines) == 2
    command("subject", "export", "--user", "user-1", "-o", "person.jsonl")
    assert (trail / "person.jsonl").stat().st_mode & 0o077 == 0
    import sys

    monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
    assert command("subject", "erase", "--user", "user-1", "--reason", "request 12").code == 1
    said = command("subject", "erase", "--user", "user-1", "--reason", "request 12", "--yes")
    assert "2 audit entries, 0 errors and 0 spans no longer identify the person (person-" in said.out
    assert command("subject", "export", "--user", "user-1").out == ""
    assert command("audit", "verify").code == 0
    assert "erased" in command("audit", "search", "--type", "payment_process").out


def test_the_tables_of_the_store_are_migrated_up_and_down(command: Command) -> None:
    said = command("store", "status").out
    assert said.endswith(": no tables, revision 0003_alerts is needed: mita-otel store migrate\n")
    assert command("store", "migrate").out.endswith(": 0003_alerts\n")
    assert "mita_audit_entries                  0 rows" in command("store", "status").out
    assert command("store", "migrate", "--to", "0001_audit", "--yes").out.endswith(": 0001_audit\n")
    assert command("store", "migrate", "--to", "base", "--yes").out.endswith(": no tables\n")
    assert (
        "no such revision; use one of 0001_audit, 0002_telemetry, 0003_alerts, head, base"
        in command("store", "migrate", "--to", "x").err
    )


def test_grants_are_shown_and_sqlite_has_none(command: Command) -> None:
    lines = command("store", "grant", "payments", "--print").lines
    assert 'GRANT INSERT ON "public".mita_audit_entries TO "payments";' in lines
    assert not any("mita_audit_entries" in line and ("UPDATE" in line or "DELETE" in line) for line in lines)
    assert "SQLite has no roles" in command("store", "grant", "payments").err


def test_with_the_trail_disabled_commands_are_refused(command: Command) -> None:
    said = command("audit", "tail", env={"MITA_OTEL_AUDIT__START": "off"})
    assert said.code == 2
    assert said.err.startswith(
        'the policy sets audit.start to "off": there is no audit trail. Set it to "auto"'
    )
