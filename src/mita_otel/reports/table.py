"""A table of a report, and how its values are written for people."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

Kind = Literal["text", "code", "count", "ms", "percent", "time", "status"]
Value = str | int | float | datetime | None

NOTHING: Final = "\N{EN DASH}"
"""Stands where there is nothing to tell."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column."""

    name: str
    kind: Kind = "text"
    label: bool = False
    """Whether it names the row rather than measures it."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table of a section."""

    section: str
    """As the report's JSON names it."""
    name: str
    """Unique in the report."""
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Value, ...], ...]
    note: str = ""

    @property
    def is_wordy(self) -> bool:
        """Whether sentences stand in it: on a narrow screen, each row is better read as a list."""
        return any(column.kind == "text" and not column.label for column in self.columns)


def shown(value: Value, kind: Kind) -> str:
    """Return a value as people read it."""
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
