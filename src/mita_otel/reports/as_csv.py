"""A report as CSV, one number a line: section, table, what of, measure, value.

A spreadsheet runs a text that begins like a formula, whoever wrote it. Such texts get an apostrophe in front.
"""

from __future__ import annotations

import csv
import io
from datetime import datetime
from typing import Final

from mita_otel.reports.model import Report
from mita_otel.reports.table import Value
from mita_otel.reports.tables import tables

HEADER: Final = ("section", "table", "of", "measure", "value")
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "%", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def as_csv(report: Report) -> str:
    """Return the report as CSV (RFC 4180, UTF-8)."""
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\r\n")
    writer.writerow(HEADER)
    for table in tables(report):
        labels = [index for index, column in enumerate(table.columns) if column.label]
        for row in table.rows:
            of = " / ".join(_plain(row[index]) for index in labels)
            for index, column in enumerate(table.columns):
                if index not in labels:
                    value = row[index]
                    cell = safe(_plain(value)) if isinstance(value, str) else _plain(value)
                    writer.writerow((table.section, table.name, safe(of), column.name, cell))
    for note in report.notes:
        writer.writerow(("report", "notes", "", "note", safe(note)))
    return lines.getvalue()


def safe(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _plain(value: Value) -> str:
    if value is None:
        return ""
    return value.isoformat() if isinstance(value, datetime) else str(value)
