"""Reports as CSV and as Markdown."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Final

from mita_otel._text import spreadsheet_cell, visible
from mita_otel.reports.model import Report
from mita_otel.reports.table import Column, Table, Value, format_value
from mita_otel.reports.tables import tables

HEADER: Final = ("section", "table", "item", "measure", "value")


def as_csv(report: Report) -> str:
    """Return the report as CSV (RFC 4180, UTF-8), one number a line: section, table, item, measure, value.

    Text that a spreadsheet would run as a formula is prefixed with an apostrophe. Control characters are escaped.
    """
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\r\n")
    writer.writerow(HEADER)
    for table in tables(report):
        labels = [index for index, column in enumerate(table.columns) if column.label]
        for row in table.rows:
            item = " / ".join(_csv_value(row[index]) for index in labels)
            for index, column in enumerate(table.columns):
                if index not in labels:
                    writer.writerow((table.section, table.name, item, column.name, _csv_value(row[index])))
    for note in report.notes:
        writer.writerow(("report", "notes", "", "note", spreadsheet_cell(note)))
    return lines.getvalue()


def _csv_value(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat()
    return spreadsheet_cell(value) if isinstance(value, str) else str(value)


_SPECIAL: Final = re.compile(r"([\\`*_{}\[\]<>#|~])")
_NUMBERS: Final = frozenset({"count", "ms", "percent"})


def as_markdown(report: Report) -> str:
    """Return the report as Markdown, with GitHub's tables."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    yield f"# {report.title}"
    for note in report.notes:
        yield from ("", f"> {escape_markdown(note)}")
    if report.coverage is not None:
        yield from ("", escape_markdown(report.coverage.note))
    for table in tables(report):
        yield from ("", f"## {table.title}", "")
        yield from _table(table)
        if table.note:
            yield from ("", f"{escape_markdown(table.note)}.")


def _table(table: Table) -> Iterator[str]:
    if not table.rows:
        yield "None."
        return
    yield _row([column.name for column in table.columns])
    yield _row(["---:" if column.kind in _NUMBERS else "---" for column in table.columns])
    for row in table.rows:
        yield _row([_cell(value, column) for value, column in zip(row, table.columns, strict=True)])


def _cell(value: Value, column: Column) -> str:
    return escape_markdown(format_value(value, column.kind))


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def escape_markdown(text: str) -> str:
    """Return the text on one line, with Markdown, HTML, control and invisible characters escaped."""
    return _SPECIAL.sub(r"\\\1", visible(" ".join(text.split())))
