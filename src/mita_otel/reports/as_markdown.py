"""A report as Markdown: headings and tables, readable as they are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from mita_otel.reports.model import Report
from mita_otel.reports.table import Column, Table, Value, shown
from mita_otel.reports.tables import tables

_SPECIAL: Final = re.compile(r"([\\`*_{}\[\]<>#|~])")
_NUMBERS: Final = frozenset({"count", "ms", "percent"})


def as_markdown(report: Report) -> str:
    """Return the report as Markdown (GitHub's tables)."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    yield f"# {report.title}"
    for note in report.notes:
        yield from ("", f"> {escaped(note)}")
    if report.coverage is not None:
        yield from ("", escaped(report.coverage.note))
    for table in tables(report):
        yield from ("", f"## {table.title}", "")
        yield from _table(table)
        if table.note:
            yield from ("", f"{escaped(table.note)}.")


def _table(table: Table) -> Iterator[str]:
    if not table.rows:
        yield "None."
        return
    yield _row([column.name for column in table.columns])
    yield _row(["---:" if column.kind in _NUMBERS else "---" for column in table.columns])
    for row in table.rows:
        yield _row([_cell(value, column) for value, column in zip(row, table.columns, strict=True)])


def _cell(value: Value, column: Column) -> str:
    return escaped(shown(value, column.kind))


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def escaped(text: str) -> str:
    """Return a text in which nothing is Markdown or HTML, on one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))
