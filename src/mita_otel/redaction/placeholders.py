"""The parts of a log message: text, and placeholders with their arguments, in the style of `logging` or of `str.format`."""

from __future__ import annotations

import functools
import re
import string
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from mita_otel.errors import raise_interrupt
from mita_otel.redaction.marker import REMOVED, TYPE

PERCENT: Final = re.compile(
    r"%(?:\((?P<name>[^()]{0,128})\))?(?P<flags>[#0\- +]*(?:\d+)?(?:\.\d+)?)[hlL]?(?P<kind>[diouxXeEfFgGcrsa%])"
)
_MAX_ARGUMENTS: Final = 64
Key = int | str
"""Position or name of an argument."""


class Piece(NamedTuple):
    """A part of a message: literal text, or a placeholder with its argument."""

    written: str
    """As in the template."""
    shown: str
    """As in the formatted message."""
    key: Key | None = None


def pieces_of(template: str, arguments: Any) -> list[Piece]:
    """Return the parts of a message. Arguments without a placeholder follow the text."""
    for split in (_percent, _braces):
        pieces = list(split(template, arguments))
        if any(piece.key is not None for piece in pieces):
            return pieces
    pieces = [Piece(template, template)]
    if isinstance(arguments, Sequence) and not isinstance(arguments, (str, bytes)):
        for index, argument in enumerate(arguments[:_MAX_ARGUMENTS]):
            pieces += (Piece("", " "), Piece("", text_of(argument), index))
    return pieces


def _percent(template: str, arguments: Any) -> Iterator[Piece]:
    """Yield the parts of a message in the style of `logging`."""
    position = index = 0
    for match in PERCENT.finditer(template):
        yield Piece(template[position : match.start()], template[position : match.start()])
        position = match.end()
        if match["kind"] == "%":
            yield Piece("%%", "%")
            continue
        key: Key = match["name"] if match["name"] is not None else index
        index += match["name"] is None
        yield _placeholder(match.group(), arguments, key, _percent_writer(match))
    yield Piece(template[position:], template[position:])


def _braces(template: str, arguments: Any) -> Iterator[Piece]:
    """Yield the parts of a message in the style of `str.format`."""
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError:
        return
    index = 0
    for literal, field, spec, conversion in parts:
        yield Piece(literal.replace("{", "{{").replace("}", "}}"), literal)
        if field is None:
            continue
        name = re.split(r"[.\[]", field, maxsplit=1)[0]
        key: Key = index if not name else int(name) if name.isdecimal() else name
        index += not name
        written = f"{{{field}{'!' + conversion if conversion else ''}{':' + spec if spec else ''}}}"
        yield _placeholder(written, arguments, key, functools.partial(_formatted, spec or ""))


def _percent_writer(placeholder: re.Match[str]) -> Callable[[Any], str]:
    written = f"%{placeholder['flags']}{placeholder['kind']}"
    return lambda argument: written % (argument,)


def _formatted(spec: str, argument: Any) -> str:
    return format(argument, spec)


def _placeholder(written: str, arguments: Any, key: Key, show: Callable[[Any], str]) -> Piece:
    argument = argument_at(arguments, key)
    if argument is REMOVED:
        return Piece(written, written)
    try:
        return Piece(written, show(argument), key)
    except BaseException as error:  # noqa: BLE001 - any object may be an argument
        raise_interrupt(error)
        return Piece(written, text_of(argument), key)


def argument_at(arguments: Any, key: Key) -> Any:
    """Return an argument, or `REMOVED` if there is none."""
    try:
        return arguments[key]
    except BaseException as error:  # noqa: BLE001 - any object may stand for the arguments
        raise_interrupt(error)
        return REMOVED


def text_of(argument: Any) -> str:
    """Return an object's text; a marker, if the object raises."""
    try:
        return str(argument)
    except BaseException as error:  # noqa: BLE001 - any object may be an argument
        raise_interrupt(error)
        return TYPE
