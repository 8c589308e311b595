"""TOML as text: how keys and values are written, and on which line each key stands."""

import json
import re
import tomllib
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

KeyPath = tuple[str, ...]

_PART = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*')"""
KEY = re.compile(rf"{_PART}(?:[ \t]*\.[ \t]*{_PART})*")
"""A key as TOML spells it."""
_PARTS = re.compile(_PART)
_BARE = re.compile(r"[A-Za-z0-9_-]+\Z")


def write_key(key: KeyPath) -> str:
    """Return the key with dots and, where a part needs them, quotes: `thresholds.api.routes."GET /x"`."""
    return ".".join(part if _BARE.match(part) else _text(part) for part in key)


def read_key(dotted: str) -> KeyPath:
    """Return the parts of a key as TOML spells it.

    Raises:
        ValueError: It is not a key.
    """
    if not KEY.fullmatch(dotted):
        raise ValueError(f"{dotted!r} is not a key")
    return tuple(_unquoted(part) for part in _PARTS.findall(dotted))


def _unquoted(part: str) -> str:
    if part[0] not in "\"'":
        return part
    # (TOMLDecodeError is a ValueError.)
    return str(tomllib.loads(f"part = {part}")["part"])


def write_value(value: Any) -> str:
    """Return the value as TOML spells it, on one line. Floats without a fraction lose their point."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, Mapping):
        inside = ", ".join(f"{write_key((name,))} = {write_value(one)}" for name, one in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(write_value, value))}]"
    return str(value)


def _text(text: str) -> str:
    # A JSON string is a TOML string, but for one control character that JSON leaves as it is.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")


def is_index(part: str) -> bool:
    """Return whether a part of a key counts the members of a list."""
    return part.isascii() and part.isdecimal() and len(part) < 10


def member(node: Any, part: str) -> Any:
    """Return the member of a table or list, or None if there is none."""
    if isinstance(node, dict):
        return node.get(part)
    return node[int(part)] if isinstance(node, list) and is_index(part) and int(part) < len(node) else None


_SPACE = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_PLAIN = re.compile(
    r'"""(?:\\.|[^\\])*?"""(?:"{0,2})'  # a quote or two may stand right before the end
    r"|'''.*?'''(?:'{0,2})"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'"
    r"|[^,\]}\n#]+",
    re.DOTALL,
)


class KeyPosition(NamedTuple):
    """Where a key stands."""

    key: KeyPath
    """Its parts; the members of an array count from `"0"`."""
    line: int
    """From 1."""


def places(text: str) -> Iterator[KeyPosition]:
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

    def document(self) -> Iterator[KeyPosition]:
        table: KeyPath = ()
        try:
            while not self._end():
                line = self._line()
                if self._take("[["):
                    table = self._new_member(self._key())
                    self._expect("]]")
                    yield KeyPosition(table, line)
                elif self._take("["):
                    table = self._resolve(self._key())
                    self._expect("]")
                    yield KeyPosition(table, line)
                else:
                    yield from self._pair(table)
        except _Unreadable:
            return

    def _pair(self, table: KeyPath) -> Iterator[KeyPosition]:
        line = self._line()
        key = (*table, *self._key())
        self._expect("=")
        yield KeyPosition(key, line)
        yield from self._value(key)

    def _value(self, key: KeyPath) -> Iterator[KeyPosition]:
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
                yield KeyPosition(member, self._line())
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
