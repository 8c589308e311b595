"""Redacts the lines of a file or a stream; lines that belong together are redacted together."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from mita_otel.redaction.finders.markup import YamlFinder, is_below
from mita_otel.redaction.finders.value_bounds import ValueShapes
from mita_otel.redaction.redactor import Redactor

_KEY_BEGIN: Final = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY")
_KEY_END: Final = "-----END "
_OPENING: Final = re.compile(r"[ \t]*[\[{][ \t]*\r?\n?\Z")
_MAX_LINES: Final = 512
_BYTES: Final = range(0xDC80, 0xDD00)
"""What Python decodes bytes that are not UTF-8 to (`surrogateescape`)."""
_PRIVATE: Final = range(0x10FF00, 0x10FF80)
"""Private characters that stand for these bytes while a line is redacted, since a redacted text has no surrogates."""
_TO_PRIVATE: Final = dict(zip(_BYTES, _PRIVATE, strict=True))
_TO_BYTES: Final = dict(zip(_PRIVATE, _BYTES, strict=True))


def redact_lines(
    redactor: Redactor, lines: Iterable[str], tally: Counter[str] | None = None
) -> Iterator[str]:
    """Yield the lines without their secrets. Line ends, and bytes that are not UTF-8, are kept.

    Single lines are yielded as they arrive. JSON over several lines, a private key, and a YAML block below a sensitive
    name are yielded as a whole when they end.

    Args:
        redactor: Redacts the lines.
        lines: Lines with their ends.
        tally: Counts what was redacted, by rule.
    """
    for record in records(
        lines, redactor.policy.max_text, YamlFinder(redactor.keys, ValueShapes(redactor.policy.grammar)).opens
    ):
        body = record.rstrip("\r\n")
        yield _redacted(redactor, body, tally) + record[len(body) :]


def _redacted(redactor: Redactor, text: str, tally: Counter[str] | None) -> str:
    private = text.translate(_TO_PRIVATE)
    if private == text:
        return redactor.text(text, tally)
    return redactor.text(private, tally).translate(_TO_BYTES)


def records(
    lines: Iterable[str], max_text: int, opens_block: Callable[[str], int | None] = lambda _: None
) -> Iterator[str]:
    """Yield lines; lines that belong together are one record.

    Args:
        lines: Lines with their ends.
        max_text: Characters that are held at most.
        opens_block: Returns the indentation of a line that opens a block; None if it opens none.
    """
    held: list[str] = []
    end = _Nothing()
    size = 0
    for line in lines:
        if held and end.came_before(line):
            yield "".join(held)
            held, size = [], 0
        if not held:
            depth = opens_block(line)
            end = _end_of(line) if depth is None else _BlockEnd(depth)
        held.append(line)
        size += len(line)
        if end.comes_with(line) or size > max_text or len(held) >= _MAX_LINES:
            yield "".join(held)
            held, size = [], 0
    if held:
        yield "".join(held)


class _Nothing:
    """The end of a record of one line."""

    def came_before(self, line: str) -> bool:
        return False

    def comes_with(self, line: str) -> bool:
        return True


class _BlockEnd(_Nothing):
    """The end of an indented block: the next line shows it."""

    def __init__(self, depth: int) -> None:
        self._depth = depth

    def came_before(self, line: str) -> bool:
        return not is_below(line, self._depth)

    def comes_with(self, line: str) -> bool:
        return False


class _KeyEnd(_Nothing):
    """The end of a private key."""

    def comes_with(self, line: str) -> bool:
        return _KEY_END in line


class _BracketEnd(_Nothing):
    """The end of JSON: all brackets are closed. Brackets inside strings rarely matter in JSON over several lines."""

    def __init__(self) -> None:
        self._open = 0

    def comes_with(self, line: str) -> bool:
        self._open += sum(line.count(char) for char in "[{") - sum(line.count(char) for char in "]}")
        return self._open <= 0


def _end_of(line: str) -> _Nothing:
    if _KEY_BEGIN.search(line):
        return _KeyEnd()
    return _BracketEnd() if _OPENING.match(line) else _Nothing()
