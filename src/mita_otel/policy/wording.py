"""What a setting wants and what is wrong with a value, in words. Nothing of the validator's own text gets through."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Annotated, Any, Literal, get_args

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from pydantic.fields import FieldInfo

from mita_otel.policy.schema import (
    Kind,
    form_of,
    is_list,
    is_section,
    is_table,
    is_text,
    kind_at,
    members,
    plain,
)
from mita_otel.policy.spelling import KeyPath, write_key, write_value

_SHOWN = 60
"""Characters of a wrong value that a message shows."""


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
    units = [one.description for one in _metadata(kind) if isinstance(one, FieldInfo) and one.description]
    return f" of {units[0]}" if units else ""


def _bounds(kind: Kind) -> str:
    words = " and ".join(word for one in _metadata(kind) for word in _bound(one))
    return f" that is {words}" if words.startswith("at ") else f" {words}".rstrip()


def _bound(one: Any) -> Iterator[str]:
    match one:
        case FieldInfo():
            for inner in one.metadata:
                yield from _bound(inner)
        case Gt(gt):
            yield f"above {write_value(gt)}"
        case Ge(ge):
            yield f"at least {write_value(ge)}"
        case Lt(lt):
            yield f"below {write_value(lt)}"
        case Le(le):
            yield f"at most {write_value(le)}"
        case MinLen(length):
            yield f"of {length} or more characters"
        case MaxLen(length):
            yield f"of up to {length} characters"
        case _ if getattr(one, "pattern", None):
            yield f"that matches {one.pattern}"


def _metadata(kind: Kind) -> tuple[Any, ...]:
    return (*get_args(kind)[1:], *_metadata(get_args(kind)[0])) if form_of(kind) is Annotated else ()


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
    if key[-1].isdigit():
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
    text = write_value(value)
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
