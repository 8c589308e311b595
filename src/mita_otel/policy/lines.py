"""On which line each key of a TOML text stands. `tomllib` has checked the text already; it does not say."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from typing import NamedTuple

from mita_otel.policy.spelling import KEY, KeyPath, read_key

_SPACE = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_PLAIN = re.compile(
    r'"""(?:\\.|[^\\])*?"""(?:"{0,2})'  # a quote or two may stand right before the end
    r"|'''.*?'''(?:'{0,2})"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'"
    r"|[^,\]}\n#]+",
    re.DOTALL,
)


class Place(NamedTuple):
    """Where a key stands."""

    key: KeyPath
    """Its parts; the members of an array count from `"0"`."""
    line: int
    """From 1."""


def places(text: str) -> Iterator[Place]:
    """Yield each key, table and array member of a TOML text with its line, in the order of the text.

    Where the text is not TOML, this ends; what came before is right.
    """
    return _Reader(text).document()


class _Unreadable(Exception):  # noqa: N818 - a signal, never seen outside
    """The text is not TOML here."""


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line_starts = [0, *(found.end() for found in re.finditer("\n", text))]
        self._array_sizes: dict[KeyPath, int] = {}

    def document(self) -> Iterator[Place]:
        table: KeyPath = ()
        try:
            while not self._end():
                line = self._line()
                if self._take("[["):
                    table = self._new_member(self._key())
                    self._expect("]]")
                    yield Place(table, line)
                elif self._take("["):
                    table = self._resolve(self._key())
                    self._expect("]")
                    yield Place(table, line)
                else:
                    yield from self._pair(table)
        except _Unreadable:
            return

    def _pair(self, table: KeyPath) -> Iterator[Place]:
        line = self._line()
        key = (*table, *self._key())
        self._expect("=")
        yield Place(key, line)
        yield from self._value(key)

    def _value(self, key: KeyPath) -> Iterator[Place]:
        self._skip()
        if self._take("{"):
            while not self._take("}"):
                yield from self._pair(key)
                self._take(",")
        elif self._take("["):
            position = 0
            while not self._take("]"):
                member = (*key, str(position))
                self._skip()
                yield Place(member, self._line())
                yield from self._value(member)
                position += 1
                self._take(",")
        else:
            self._match(_PLAIN)

    def _key(self) -> KeyPath:
        try:
            return read_key(self._match(KEY))
        except ValueError as error:
            raise _Unreadable from error

    def _resolve(self, key: KeyPath) -> KeyPath:
        """Return the key with the position of the newest member behind each array of tables in it."""
        if not self._array_sizes:
            return key
        resolved: KeyPath = ()
        for part in key:
            resolved = (*resolved, part)
            if resolved in self._array_sizes:
                resolved = (*resolved, str(self._array_sizes[resolved] - 1))
        return resolved

    def _new_member(self, key: KeyPath) -> KeyPath:
        array = (*self._resolve(key[:-1]), key[-1])
        position = self._array_sizes.get(array, 0)
        self._array_sizes[array] = position + 1
        return (*array, str(position))

    def _line(self) -> int:
        return bisect_right(self._line_starts, self._at)

    def _end(self) -> bool:
        self._skip()
        return self._at >= len(self._text)

    def _skip(self) -> None:
        self._at = _SPACE.match(self._text, self._at).end()  # type: ignore[union-attr]  # it matches nothing, too

    def _take(self, sign: str) -> bool:
        self._skip()
        if not self._text.startswith(sign, self._at):
            return False
        self._at += len(sign)
        return True

    def _expect(self, sign: str) -> None:
        if not self._take(sign):
            raise _Unreadable

    def _match(self, pattern: re.Pattern[str]) -> str:
        self._skip()
        found = pattern.match(self._text, self._at)
        if found is None:
            raise _Unreadable
        self._at = found.end()
        return found[0]
