"""Reports are written atomically, for their owner only, in the format of the file's ending."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mita_otel import (
    ConfigurationError,
    configure,
    export_compliance_report,
    get_audit_trail,
    record_audit_event,
)
from mita_otel.audit.errors import AuditUnavailableError
from mita_otel.reports.model import Report
from mita_otel.reports.output import escape_markdown, format_of, render_report, write_report
from mita_otel.reports.report_builder import ReportInputs, build_report
from mita_otel.reports.scope import ReportScope, last_days
from reports.seed import NOW


@pytest.fixture
def report(inputs: ReportInputs) -> Report:
    return build_report("daily", ReportScope(last_days(1, NOW)), inputs)


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("a.json", "json"),
        ("a.CSV", "csv"),
        ("a.md", "md"),
        ("a.markdown", "md"),
        ("a.html", "html"),
        ("a.htm", "html"),
    ],
)
def test_the_ending_selects_the_format(name: str, form: str) -> None:
    assert format_of(Path(name)) == form


@pytest.mark.parametrize("name", ["a", "a.pdf", "json", "a.json.gz"])
def test_an_unknown_ending_is_rejected_first(name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"use one of .json, .csv, .md, .html"):
        format_of(Path(name))


def test_a_file_is_private_and_replaced_atomically(report: Report, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "report.md"
    write_report(report, path)
    path.chmod(0o644)
    write_report(report, path)
    assert path.read_text() == render_report(report, "md")
    assert path.stat().st_mode & 0o077 == 0
    assert list(path.parent.iterdir()) == [path]


def test_a_full_disk_leaves_the_existing_file(
    report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.json"
    path.write_text("the former one")

    def full(*arguments: object, **options: object) -> object:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fdopen", full)
    with pytest.raises(OSError, match="No space left"):
        write_report(report, path)
    assert path.read_text() == "the former one"
    assert list(tmp_path.iterdir()) == [path]


def test_an_unknown_format_is_rejected(report: Report) -> None:
    with pytest.raises(
        ConfigurationError, match=r"'pdf' is not a report format; use one of json, csv, md, html"
    ):
        render_report(report, "pdf")


def test_without_the_extra_only_html_is_rejected(tmp_path: Path) -> None:
    code = """
import sys
sys.modules["jinja2"] = None
from mita_otel.reports.model import Report
from mita_otel.reports.output import render_report
report = Report(kind="daily", title="t", source="store", service=None, environment=None, start="2026-11-01T00:00Z", end="2026-11-02T00:00Z", generated_at="2026-11-02T00:00Z", generated_by="x", policy_sha256="0")
for form in ("json", "csv", "md"):
    assert render_report(report, form)
render_report(report, "html")
"""
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ran.stderr.splitlines()[-1].endswith(
        "HTML reports need jinja2; install it with: pip install 'mita-otel[reports]'"
    )


def test_without_the_extra_reading_the_trail_names_what_to_install(tmp_path: Path) -> None:
    code = """
import sys
sys.modules["sqlalchemy"] = None
import mita_otel
telemetry = mita_otel.configure(exporters=["none"])
assert mita_otel.record_audit_event("login", "u1") is not None
for call in (mita_otel.get_audit_trail, lambda: mita_otel.export_compliance_report("report.md")):
    try:
        call()
    except mita_otel.ConfigurationError as error:
        assert str(error) == "the store needs sqlalchemy; install it with: pip install 'mita-otel[store]'", error
    else:
        raise AssertionError("nothing was said")
telemetry.shutdown(1)
"""
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert (
        ran.stderr.count("audit entries wait in the spool and are safe there: the store needs sqlalchemy")
        == 1
    )


def test_markdown_is_escaped() -> None:
    assert escape_markdown("a|b\n<i>*x*</i> [y](z) `c` _d_") == r"a\|b \<i\>\*x\*\</i\> \[y\](z) \`c\` \_d\_"
    assert escape_markdown("\x1b[2J\x9b") == r"\\x1b\[2J\\x9b"


# --- export_compliance_report ----------------------------------------------------------------------------
@pytest.fixture
def configured(isolated_telemetry: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MITA_OTEL_AUDIT_KEY", "a key that only these tests know")
    telemetry = configure(exporters=["none"])
    yield tmp_path
    telemetry.shutdown(5)


def test_recorded_events_are_in_the_trail_and_in_the_report(configured: Path) -> None:
    record_audit_event("transaction_create", "u1", {"amount": 5})
    record_audit_event("transaction_create", "u2")
    record_audit_event("login", "u1")
    trail = get_audit_trail(user_id="u1", event_type="transaction_create", hours_back=24)
    assert [(one.user_id, one.event_type, one.details) for one in trail] == [
        ("u1", "transaction_create", {"amount": 5})
    ]
    path = export_compliance_report(output_file="compliance_report.json", user_id="u1", days_back=30)
    found = json.loads(path.read_text())
    assert {one["name"]: one["count"] for one in found["audit"]["by_type"]} == {
        "login": 1,
        "transaction_create": 1,
    }
    assert found["audit"]["verification"]["ok"]
    # Reads and exports are audited.
    kinds = [one.event_type for one in get_audit_trail(event_type=["audit_read", "report_export"])]
    assert kinds == ["audit_read", "report_export"]


def test_a_redacted_user_id_is_found_by_the_original_id(configured: Path) -> None:
    record_audit_event("login", "4111 1111 1111 1111")
    assert len(get_audit_trail("4111 1111 1111 1111")) == 1


def test_the_newest_entries_are_returned_oldest_first(configured: Path) -> None:
    for number in range(10):
        record_audit_event("test", details={"n": number})
    found = get_audit_trail(event_type="test", limit=3)
    assert [one.details for one in found] == [{"n": 7}, {"n": 8}, {"n": 9}]
    assert get_audit_trail(event_type="test", hours_back=None, outcome="failure") == []


def test_invalid_arguments_are_rejected(configured: Path) -> None:
    with pytest.raises(ValueError, match="lower case letters"):
        get_audit_trail(event_type="Not A Type")
    with pytest.raises(ConfigurationError, match="use one of"):
        export_compliance_report("report.docx")
    with pytest.raises(ConfigurationError, match="--days 0"):
        export_compliance_report("report.md", days_back=0)


def test_without_configuration_the_error_names_configure(isolated_telemetry: None, tmp_path: Path) -> None:
    for call in (
        lambda: record_audit_event("login", "u1"),
        get_audit_trail,
        lambda: export_compliance_report(tmp_path / "report.md"),
    ):
        with pytest.raises(AuditUnavailableError, match=r"call mita_otel.configure\(\) first"):
            call()


def test_with_the_trail_off_recording_does_nothing_and_reading_is_refused(
    isolated_telemetry: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from audit.kit import changed

    monkeypatch.chdir(tmp_path)
    configure(policy=changed(audit__start="off"), exporters=["none"])
    assert record_audit_event("login", "u1") is None
    with pytest.raises(AuditUnavailableError, match=r"the audit trail is off"):
        get_audit_trail()
    assert list(tmp_path.iterdir()) == []
