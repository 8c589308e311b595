"""Tables in texts whose header has a sensitive column: CSV, tabs, Markdown, psql, aligned columns, HTML."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from mita_otel.redaction.finders.hit import Hit
from mita_otel.redaction.finders.value_bounds import ValueShapes, has_digit, is_distinct, looks_random
from mita_otel.redaction.key_words import split_words
from mita_otel.redaction.keys import KeyRules, KeyVerdict
from mita_otel.redaction.marker import MARKER

_LINE: Final = re.compile(r"[^\n]+")
_MAX_HEADER: Final = 1024
_MAX_NAME: Final = 40
_NAME: Final = re.compile(r"[^\W_][\w.\-/#]*(?: [\w.\-/#]+){0,3}")
_RULE: Final = re.compile(r"[\s|+:=\-\u2500-\u257f]*[=\-\u2500-\u257f]{2}[\s|+:=\-\u2500-\u257f]*")
"""A line between the header and the rows, or around the table."""
_SEPARATORS: Final = ("|", "\u2502", "\u2503", "\t", ";", ",")
_BARS: Final = ("|", "\u2502", "\u2503")
_APART: Final = re.compile(r"\S+(?: \S+)*")
_WORDS: Final = re.compile(r"\S+")
_WIDE_GAP: Final = re.compile(r"\S {2,}\S")
_HTML_ROW: Final = re.compile(r"(?i)<tr\b[^<>]{0,256}>")
_HTML_CELL: Final = re.compile(r"(?i)<t[hd]\b[^<>]{0,256}>\s{0,16}(?P<text>[^<\s](?:[^<]{0,254}[^<\s])?)")


class _Cell(NamedTuple):
    """A cell of a row, without blanks and quotes around it."""

    start: int
    end: int


class _Column(NamedTuple):
    """A sensitive column."""

    position: int
    name: str
    verdict: KeyVerdict
    rule: str


Row = tuple[int, int]
Split = Callable[[str, Row], list[_Cell]]
"""Returns the cells of the row of a text."""


class TableFinder:
    """Finds the values of sensitive columns.

    Args:
        keys: Which names are sensitive.
        shapes: Which values are words of a sentence.
    """

    def __init__(self, keys: KeyRules, shapes: ValueShapes) -> None:
        self._keys = keys
        self._shapes = shapes

    def __call__(self, text: str) -> Iterator[Hit]:
        """Yield the values, row by row. Each line is read once as a row, and once as a header."""
        if "<t" in text or "<T" in text:
            starts = [match.end() for match in _HTML_ROW.finditer(text)]
            rows = list(zip(starts, [*starts[1:], len(text)], strict=False))
            yield from self._tables(text, rows, (_html_cells,))
        if "\n" in text:
            lines = [match.span() for match in _LINE.finditer(text)]
            yield from self._tables(text, lines, (*_DELIMITED, _aligned_cells, _aligned_words))

    def _tables(self, text: str, rows: list[Row], splits: tuple[Split, ...]) -> Iterator[Hit]:
        index = 0
        while index + 1 < len(rows):
            header, split = self._header(text, rows[index], splits)
            columns = self._columns(text, header)
            index += 1
            is_ruled = False
            while columns and index < len(rows):
                if _RULE.fullmatch(text, *rows[index]):
                    is_ruled = True
                    index += 1
                    continue
                cells = split(text, rows[index])
                shift = len(cells) - len(header)  # a row may have an index before its first column
                if shift not in (0, 1) or (len(header) == 1 and not is_ruled):
                    break
                yield from self._values(text, columns, cells[shift:])
                index += 1

    def _header(self, text: str, row: Row, splits: tuple[Split, ...]) -> tuple[list[_Cell], Split]:
        """Return the cells of a row of names, and how its table is split."""
        if row[1] - row[0] <= _MAX_HEADER:
            is_labelled = text.find(": ", *row) >= 0
            for split in splits:
                cells = _unlabelled(text, split(text, row)) if is_labelled else split(text, row)
                if cells and all(self._is_name(text[slice(*cell)]) for cell in cells):
                    return cells, split
        return [], splits[0]

    def _is_name(self, cell: str) -> bool:
        return len(cell) <= _MAX_NAME and bool(_NAME.fullmatch(cell)) and not cell.replace(".", "").isdigit()

    def _columns(self, text: str, header: list[_Cell]) -> list[_Column]:
        columns: list[_Column] = []
        for index, cell in enumerate(header):
            name = text[slice(*cell)]
            verdict = self._keys.phrase_verdict(split_words(name))[0]
            if verdict.rule is None and " " not in name:
                verdict = self._keys.judge(name)
            if verdict.rule is not None:
                columns.append(_Column(index, name, verdict, verdict.rule))
        return columns

    def _values(self, text: str, columns: list[_Column], cells: list[_Cell]) -> Iterator[Hit]:
        for column in columns:
            start, end = cells[column.position]
            value = text[start:end]
            if value and not MARKER.fullmatch(value) and self._is_secret(column, value):
                yield Hit(start, end, column.rule)

    def _is_secret(self, column: _Column, value: str) -> bool:
        if self._shapes.is_ordinary_word(value) or self._keys.is_benign(column.name, column.verdict, value):
            return False
        if column.rule == "key" and column.verdict.common:
            return looks_random(value)
        if column.verdict.common:
            return is_distinct(value)
        return has_digit(value) or " " not in value


def _unlabelled(text: str, cells: list[_Cell]) -> list[_Cell]:
    """Return the cells of a header without a label before it, as in `ValueError: user,password`."""
    if not cells or (label := text.rfind(": ", *cells[0])) < 0:
        return cells
    return [_Cell(label + 2, cells[0].end), *cells[1:]]


def _delimited(separator: str) -> Split:
    """Return what splits rows at a separator outside double quotes."""

    def cells(text: str, row: Row) -> list[_Cell]:
        start, end = row
        if separator in _BARS:
            start, end = _without_bars(text, start, end)
        if separator not in text[start:end]:
            return [] if start == row[0] else [_trimmed(text, start, end)]
        found: list[_Cell] = []
        while start <= end:
            opening = _trimmed(text, start, end).start
            close = text.find('"', opening + 1, end) if text.startswith('"', opening) else -1
            stop = text.find(separator, max(start, close), end)
            stop = end if stop < 0 else stop
            found.append(_trimmed(text, start, stop))
            start = stop + 1
        return found

    return cells


_DELIMITED: Final = tuple(_delimited(separator) for separator in _SEPARATORS)


def _aligned_cells(text: str, row: Row) -> list[_Cell]:
    """Return the cells of a row that two blanks or more separate."""
    return [_Cell(*match.span()) for match in _APART.finditer(text, *row)]


def _aligned_words(text: str, row: Row) -> list[_Cell]:
    """Return the words of a row, of which some are further apart than in a sentence."""
    return (
        [_Cell(*match.span()) for match in _WORDS.finditer(text, *row)]
        if _WIDE_GAP.search(text, *row)
        else []
    )


def _html_cells(text: str, row: Row) -> list[_Cell]:
    return [_Cell(*match.span("text")) for match in _HTML_CELL.finditer(text, *row)]


def _without_bars(text: str, start: int, end: int) -> Row:
    """Return a row without the bars at its ends."""
    outer = _trimmed(text, start, end, quotes="")
    first = outer.start + (text[outer.start : outer.start + 1] in _BARS)
    last = outer.end - (outer.end > first and text[outer.end - 1] in _BARS)
    return first, last


def _trimmed(text: str, start: int, end: int, quotes: str = "\"'`") -> _Cell:
    content = text[start:end]
    kept = content.strip()
    if kept != content:
        start += len(content) - len(content.lstrip())
        end = start + len(kept)
    if kept[1:] and kept[0] in quotes and kept[-1] == kept[0]:
        return _Cell(start + 1, end - 1)
    return _Cell(start, end)
