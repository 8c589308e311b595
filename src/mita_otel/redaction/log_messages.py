"""Log messages and their arguments: an argument is judged with the words before it in the message."""

from __future__ import annotations

import copy
import datetime as dt
import decimal
import enum
import logging
import re
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final, NamedTuple

from mita_otel.errors import raise_interrupt
from mita_otel.redaction.finders.hit import Hit
from mita_otel.redaction.marker import ERROR, REMOVED, TYPE
from mita_otel.redaction.placeholders import PERCENT, Key, Piece, argument_at, pieces_of, text_of
from mita_otel.redaction.scanner import Scanner

STANDARD_ATTRIBUTES: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""Attributes of a record that logging itself sets. The others are the application's `extra`."""

_REACH: Final = 160
"""Characters before an argument that say what it is."""

_VALUES: Final = (
    *(str, bytes, bytearray, memoryview, type(None), int, float, decimal.Decimal, Mapping, list, tuple),
    *(AbstractSet, dt.date, dt.time, dt.timedelta, uuid.UUID, enum.Enum),
)
"""Types that are redacted as values. An argument of another type, such as an exception, is logged as its text."""

_TEMPLATE: Final = "sentry.message.template"
_PARAMETER: Final = "sentry.message.parameter."
_TEMPLATE_KEYS: Final = ("msg", "message", "template", "event", "format", "message_template")
_ARGUMENTS_KEYS: Final = ("args", "params", "positional_args", "arguments", "parameters")
"""Where logging libraries put a message and its arguments."""

Tally = Counter[str]


class SafeMessage(NamedTuple):
    """A message that is safe to send."""

    template: str
    """The message with its placeholders, as many as before."""
    arguments: Any
    """The arguments, as many and in a container of the same type."""


class Logged(NamedTuple):
    """A log message in a mapping, as a logging library writes it."""

    template: str
    template_key: Any
    arguments: Any
    arguments_keys: Any
    """The key of all arguments, or a mapping from each argument's name or position to its own key."""

    def members(self, safe: SafeMessage) -> dict[Any, Any]:
        """Return the members of the mapping with a redacted message."""
        if isinstance(self.arguments_keys, dict):
            by_key = {key: safe.arguments[name] for name, key in self.arguments_keys.items()}
        else:
            by_key = {self.arguments_keys: safe.arguments}
        return {self.template_key: safe.template, **by_key}


def logged_arguments(mapping: Mapping[Any, Any]) -> Logged | None:
    """Return the log message that a mapping holds with its arguments apart, or None."""
    for arguments_key in _ARGUMENTS_KEYS:
        arguments = mapping.get(arguments_key)
        if arguments and isinstance(arguments, (list, tuple, Mapping)):
            for key in _TEMPLATE_KEYS:
                template = mapping.get(key)
                if isinstance(template, str) and ("%" in template or "{" in template):
                    return Logged(template, key, arguments, arguments_key)
    template = mapping.get(_TEMPLATE)
    return _parameters(mapping, template) if isinstance(template, str) else None


def _parameters(mapping: Mapping[Any, Any], template: str) -> Logged:
    """Return the log message of a record in Sentry's convention: an attribute for each argument."""
    keys = {
        key.removeprefix(_PARAMETER): key
        for key in mapping
        if isinstance(key, str) and key.startswith(_PARAMETER)
    }
    if not all(name.isdecimal() for name in keys):
        return Logged(template, _TEMPLATE, {name: mapping[key] for name, key in keys.items()}, keys)
    ordered = sorted(keys.items(), key=lambda one: int(one[0][:9]))
    return Logged(
        template,
        _TEMPLATE,
        [mapping[key] for _, key in ordered],
        {index: key for index, (_, key) in enumerate(ordered)},
    )


class LogMessages:
    """Redacts messages whose arguments are kept apart from their template.

    Args:
        natural_language: Finds secrets in the formatted message.
        value: Redacts an argument by itself: name, argument, tally.
    """

    def __init__(self, natural_language: Scanner, value: Callable[[str, Any, Tally], Any]) -> None:
        self._natural_language = natural_language
        self._value = value

    def redact(self, template: str, arguments: Any, tally: Tally) -> SafeMessage:
        """Return the message with its secrets redacted in template and arguments.

        Args:
            template: A message with `%s` or `{}` for each argument, or without any.
            arguments: A sequence, or a mapping of names.
            tally: Counts what was redacted, by rule.
        """
        pieces = pieces_of(template, arguments)
        message = "".join(piece.shown for piece in pieces)
        hits = self._natural_language.hits(message)
        found: dict[Key, Any] = {}
        written: list[str] = []
        position = 0
        for piece in pieces:
            start, position = position, position + len(piece.shown)
            inside = [
                _clipped(hit, start, position) for hit in hits if hit.start < position and hit.end > start
            ]
            if piece.key is None:
                written.append(self._literal(piece, inside, tally))
                continue
            argument = argument_at(arguments, piece.key)
            safe = self._argument(piece, argument, message[max(0, start - _REACH) : start], inside, tally)
            found[piece.key] = safe
            same = isinstance(safe, str) == isinstance(argument, str)
            written.append(piece.written if same else _as_text(piece.written))
        safe = _with(arguments, found, lambda key, value: self._alone(key, value, tally))
        return SafeMessage("".join(written), safe)

    def _literal(self, piece: Piece, hits: list[Hit], tally: Tally) -> str:
        """Return a literal part of the template without its secrets."""
        if piece.written != piece.shown:
            return piece.written
        secret = [hit for hit in hits if any(map(str.isalnum, piece.shown[hit.start : hit.end]))]
        return self._natural_language.substitute(piece.written, secret, tally)

    def _argument(self, piece: Piece, argument: Any, before: str, hits: list[Hit], tally: Tally) -> Any:
        """Return an argument without what is secret in it, by itself or behind the words before it."""
        if not isinstance(argument, _VALUES) and piece.shown != TYPE:
            argument = piece.shown
        if not hits:
            return self._alone(piece.key, argument, tally)
        if isinstance(argument, str) and argument == piece.shown:
            return self._alone(piece.key, self._natural_language.substitute(argument, hits, tally), tally)
        if isinstance(argument, (Mapping, list, tuple, AbstractSet)):
            safe = self._alone(piece.key, argument, tally)
            if all(hit.end <= len(before) for hit in self._natural_language.hits(before + text_of(safe))):
                return safe
        return self._natural_language.substitute(piece.shown, [Hit(0, len(piece.shown), hits[0].rule)], tally)

    def _alone(self, key: Key | None, argument: Any, tally: Tally) -> Any:
        name = key if isinstance(key, str) else ""
        safe = self._value(name, argument, tally)
        return ERROR if safe is REMOVED else safe


def shown(template: Any, arguments: Any) -> str:
    """Return a formatted message; where an argument does not fit its placeholder, its text, or a marker."""
    template = text_of(template)
    return "".join(piece.shown for piece in pieces_of(template, arguments))


def _with(arguments: Any, found: Mapping[Key, Any], alone: Callable[[Key, Any], Any]) -> Any:
    """Return the arguments in a container of the same type."""
    if isinstance(arguments, Mapping):
        others = {key: alone(key, value) for key, value in arguments.items() if key not in found}
        return {**others, **found}
    if not isinstance(arguments, (list, tuple)):
        return alone("", arguments)
    safe = [found[key] if key in found else alone("", value) for key, value in enumerate(arguments)]
    return tuple(safe) if isinstance(arguments, tuple) else safe


def keep_type(original: Any, arguments: Any) -> Any:
    """Return redacted arguments in a mapping of the original's type: those of access logs have a default for each name."""
    if type(original) is dict or not isinstance(original, dict) or not isinstance(arguments, Mapping):
        return arguments
    try:
        same = copy.copy(original)
        same.clear()
        same.update(arguments)
    except BaseException as error:  # noqa: BLE001 - any class may be the arguments' type
        raise_interrupt(error)
        return arguments
    return same


def _clipped(hit: Hit, start: int, end: int) -> Hit:
    return Hit(max(hit.start, start) - start, min(hit.end, end) - start, hit.rule)


def _as_text(placeholder: str) -> str:
    """Return a placeholder that takes a text: an argument that was a number may have become one."""
    if placeholder.startswith("%"):
        name = PERCENT.fullmatch(placeholder)
        return f"%({name['name']})s" if name is not None and name["name"] is not None else "%s"
    return re.sub(r"[!:].*\}\Z", "}", placeholder, flags=re.DOTALL)
