"""A table of a report, and the display of its values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

Kind = Literal["text", "code", "count", "ms", "percent", "time", "status"]
Value = str | int | float | datetime | None

NOTHING: Final = "\N{EN DASH}"
"""Display of a missing value."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table."""

    name: str
    kind: Kind = "text"
    label: bool = False
    """Whether the column names the row instead of measuring it."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table of a section."""

    section: str
    """Section name in the JSON report."""
    name: str
    """Name, unique in the report."""
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Value, ...], ...]
    note: str = ""

    @property
    def has_sentences(self) -> bool:
        """Whether the table contains sentences. Narrow screens show each of its rows as a list."""
        return any(column.kind == "text" and not column.label for column in self.columns)


def format_value(value: Value, kind: Kind) -> str:
    """Return the display text of a value."""
    if value is None:
        return NOTHING
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S" if value.second else "%Y-%m-%d %H:%M")
    if kind == "count":
        return f"{value:,}"
    if kind == "ms":
        return f"{value:,.1f}"
    if kind == "percent":
        return f"{value:,.2f} %"
    return str(value).replace("_", " ") if kind == "status" else str(value)
