"""The seal of a report: any change is found, in the file as well."""

from __future__ import annotations

import json
import re

import pytest

from audit.kit import KEY
from mita_otel import ConfigurationError
from mita_otel.audit.canonical import AuditKeys
from mita_otel.reports.export import check_seal, sealed
from mita_otel.reports.model import Report
from mita_otel.reports.output import as_json, render_report
from mita_otel.reports.report_builder import ReportInputs, build_report
from mita_otel.reports.scope import ReportScope, last_days
from reports.seed import NOW

KEYS = AuditKeys(KEY.encode())


@pytest.fixture
def report(inputs: ReportInputs) -> Report:
    return sealed(build_report("daily", ReportScope(last_days(2, NOW)), inputs), KEYS)


def test_the_file_is_checked_with_the_key(report: Report) -> None:
    assert report.seal is not None
    assert check_seal(as_json(report), KEYS) == (
        f"SHA-256 {report.seal.sha256}: unchanged, signed with key {KEYS.current_id}"
    )
    rotated = AuditKeys(b"another key of these tests", [KEY.encode()])
    assert "signed with key" in check_seal(as_json(report), rotated)


@pytest.mark.parametrize("place", ["errors.total", "audit.entries", "title", "notes", "seal.signature"])
def test_each_change_is_found(report: Report, place: str) -> None:
    fields = json.loads(as_json(report))
    *path, last = place.split(".")
    node = fields
    for name in path:
        node = node[name]
    node[last] = "0" * 64
    with pytest.raises(ConfigurationError, match=r"was changed|signature is invalid"):
        check_seal(json.dumps(fields), KEYS)


def test_a_digest_that_was_computed_again_needs_the_key(report: Report) -> None:
    forged = sealed(report, AuditKeys(b"another key of these tests"))
    with pytest.raises(ConfigurationError, match="is not known here"):
        check_seal(as_json(forged), KEYS)
    assert "not signed: anyone could" in check_seal(as_json(sealed(report, None)), KEYS)


@pytest.mark.parametrize("text", ["no json", "[]", "{}", '{"seal": {}}'])
def test_other_files_are_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"not JSON|no seal"):
        check_seal(text, KEYS)


@pytest.mark.parametrize("form", ["csv", "md", "html"])
def test_all_formats_show_digest_and_signature(report: Report, form: str) -> None:
    assert report.seal is not None
    text = render_report(report, form)
    assert report.seal.sha256 in text
    assert str(report.seal.signature) in text
    if form == "html":
        assert re.search(r'content: "Page " counter\(page\) " of " counter\(pages\)', text)
        assert f'content: "Security events of the day, 2026-11-23, SHA-256 {report.seal.sha256[:16]}"' in text
