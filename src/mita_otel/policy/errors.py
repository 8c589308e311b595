"""Errors in a policy: file, line, key, what is wrong, what the setting wants, and the fix.

The validator's own text is not repeated.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal, NamedTuple, get_args

from mita_otel.errors import ConfigurationError
from mita_otel.policy.schema import (
    Kind,
    form_of,
    is_list,
    is_section,
    is_table,
    is_text,
    key_kind_at,
    kind_at,
    known_keys,
    members,
    metadata,
    plain,
)
from mita_otel.policy.section import Bounds
from mita_otel.policy.toml_text import KeyPath, is_index, member, write_key, write_value

_SHOWN = 60
"""Characters of a wrong value that a message shows."""


@dataclass(frozen=True)
class Problem:
    """One error in a policy."""

    place: str
    """Where: `mita-otel.toml:12`, a file's path, or a variable's name."""
    key: str
    """The key as the file spells it, as in `environments.staging.export.traces`; empty: the file as a whole."""
    message: str
    """What is wrong and, after a semicolon, the fix."""

    def __str__(self) -> str:
        return ": ".join(filter(None, (self.place, self.key, self.message)))


class Mismatch(NamedTuple):
    """A value that does not fit the model."""

    key: KeyPath
    reason: Literal["unknown key", "missing keys", "wrong value", "wrong name", "refused"]
    detail: Any = None
    """The names that are missing, the wrong value, or the message of what refused it."""


class PolicyError(ConfigurationError):
    """A policy is invalid. The message has one line for each problem."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        """Every problem, in the order of the file."""
        super().__init__("\n".join(map(str, self.problems)))


def wanted(kind: Kind) -> str:
    """Return what a setting of this type takes, as in `a number of milliseconds above 0, or "off"`."""
    *others, last = dict.fromkeys(map(_wanted, members(kind)))
    return f"{', '.join(others)}, or {last}" if others else last


def _wanted(kind: Kind) -> str:
    base = plain(kind)
    origin = form_of(base)
    if origin is Literal:
        return _choice(get_args(base))
    if origin in (tuple, list):
        return f"a list of {_plural(get_args(base)[0])}"
    if is_table(base):
        return "a table"
    if base is bool:
        return "true or false"
    if base is int:
        return f"a whole number{_unit(kind)}{_bounds(kind)}"
    if base is float:
        return f"a number{_unit(kind)}{_bounds(kind)}"
    return f"a text{_bounds(kind)}"


def _choice(values: tuple[Any, ...]) -> str:
    *others, last = map(write_value, values)
    return f"one of {', '.join(others)} or {last}" if others else last


def _plural(kind: Kind) -> str:
    if is_text(kind):
        return "texts"
    return "tables" if is_section(plain(kind)) else "numbers"


def _unit(kind: Kind) -> str:
    units = [one.unit for one in metadata(kind) if isinstance(one, Bounds) and one.unit]
    return f" of {units[0]}" if units else ""


def _bounds(kind: Kind) -> str:
    words = " and ".join(word for one in metadata(kind) if isinstance(one, Bounds) for word in _words_of(one))
    return f" that is {words}" if words.startswith("at ") else f" {words}".rstrip()


def _words_of(bounds: Bounds) -> Iterator[str]:
    for words, bound in (
        ("above", bounds.gt),
        ("at least", bounds.ge),
        ("below", bounds.lt),
        ("at most", bounds.le),
    ):
        if bound is not None:
            yield f"{words} {write_value(bound)}"
    if bounds.min_length is not None:
        yield f"of {bounds.min_length} or more characters"
    if bounds.max_length is not None:
        yield f"of up to {bounds.max_length} characters"
    if bounds.pattern is not None:
        yield f"that matches {bounds.pattern}"


def describe(mismatch: Mismatch, section: Kind, defaults: Any) -> str:
    """Return the message for a mismatch.

    Args:
        mismatch: What is wrong below `section`.
        section: The type of the table that was read.
        defaults: A tree whose values may serve as an example.
    """
    key = mismatch.key
    if mismatch.reason == "refused":
        return str(mismatch.detail)
    if mismatch.reason == "unknown key":
        return unknown_key(key[-1], known_keys(section, key[:-1]))
    if mismatch.reason == "missing keys":
        return missing_keys(mismatch.detail, kind_at(section, key))
    if mismatch.reason == "wrong name":
        return f"{write_key(key[-1:])} is not {wanted(key_kind_at(section, key[:-1]))}; write another name"
    kind = kind_at(section, key)
    default: Any = defaults
    for part in key:
        default = member(default, part)
    return misfit(mismatch.detail, kind, example_of(key, kind, default))


def misfit(value: Any, kind: Kind, example: str) -> str:
    """Return the sentence for a value of the wrong type or out of bounds."""
    sentence = f"{_shown(value)} is not {wanted(kind)}"
    choices = [
        one for part in members(kind) if form_of(plain(part)) is Literal for one in get_args(plain(part))
    ]
    close = get_close_matches(value, choices, n=1) if isinstance(value, str) else []
    if close:
        return f"{sentence}; did you mean {write_value(close[0])}?"
    return f"{sentence}; write {example}"


def example_of(key: KeyPath, kind: Kind, default: Any) -> str:
    """Return a line that would be right, as in `max_spans = 1000`: the default's, if there is one."""
    if is_table(kind):
        return f"[{write_key(key)}]"
    if default is None:
        default = _any_value(kind)
    if isinstance(default, list | tuple) and len(default) > 3:
        default = default[:3]
    if isinstance(default, list | tuple) and not default:
        default = ["a", "b"]
    if is_index(key[-1]):
        return f"it as in {write_value(default)}"
    return f"it as in {write_key(key[-1:])} = {write_value(default)}"


def _any_value(kind: Kind) -> Any:
    first = plain(members(kind)[0])
    if form_of(first) is Literal:
        return get_args(first)[0]
    if is_list(first):
        return ["a", "b"]
    return {bool: True, int: 100, float: 500}.get(first, "text")


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return "a table"
    try:
        text = write_value(value)
    except (ValueError, RecursionError):  # Python refuses to write integers of more than 4,300 digits
        return "this value"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def unknown_key(name: str, known: list[str]) -> str:
    """Return the sentence for a key that there is not."""
    close = get_close_matches(name, known, n=1)
    if close:
        return f"there is no such key; did you mean {close[0]}?"
    return f"there is no such key; known here: {', '.join(known)}"


def missing_keys(names: list[str], table: Kind) -> str:
    """Return the sentence for keys that have to be in a table."""
    *others, last = names
    listed = f"{', '.join(others)} and {last}" if others else last
    example = example_of((names[0],), kind_at(table, (names[0],)), None).removeprefix("it as in ")
    return f"{listed} {'are' if others else 'is'} missing; add {'them' if others else 'it'}, as in {example}"
