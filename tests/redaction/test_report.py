"""The report fails below its goal."""

from __future__ import annotations

import pytest
from benchmarks import redaction_report

from mita_otel.redaction import Redactor


def test_the_report_prints_recall_by_kind_and_passes(capsys: pytest.CaptureFixture[str]) -> None:
    assert redaction_report.main() == 0
    printed = capsys.readouterr().out
    assert "pan" in printed
    assert "1.000" in printed


def test_the_report_fails_if_something_leaks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Redactor, "sql", lambda self, statement, tally=None, *, dialect=None: statement)
    assert redaction_report.main() == 1
    assert "leaked" in capsys.readouterr().out
