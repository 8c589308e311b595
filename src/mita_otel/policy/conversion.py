"""TOML values become sections. Every value that does not fit is reported, with its key."""

import math
from collections.abc import Callable, Iterable
from datetime import date, time
from functools import cache, partial
from typing import Any, Final, Literal, TypeVar, get_args

from mita_otel.policy.errors import Mismatch, PolicyError, Problem, describe
from mita_otel.policy.schema import Kind, form_of, is_section, members, metadata, plain
from mita_otel.policy.section import Bounds, InvalidKeys, Section, Validator, types_of
from mita_otel.policy.toml_text import KeyPath, write_key

S = TypeVar("S", bound=Section)


Mismatches = list[Mismatch]
Reader = Callable[[Any, KeyPath, Mismatches], Any]
"""Takes a value, its key, and the list that mismatches are added to. Returns the converted value, or `_INVALID`."""

_INVALID: Final = object()
_LARGEST: Final = 2**53
"""Numbers above it are no setting. Clocks, queues and databases fail on them when the service runs."""


def read(section: type[S], tree: Any) -> tuple[S | None, Mismatches]:
    """Return a table as a section, or None and what is wrong with it."""
    mismatches: Mismatches = []
    kind: Kind = section
    value = _reader(kind)(tree, (), mismatches)
    return (None if value is _INVALID else value), mismatches


def convert(section: type[S], tree: Any) -> S:
    """Return a table as a section.

    Args:
        section: The section's class.
        tree: The table as TOML and JSON have it.

    Raises:
        PolicyError: With each value that is wrong: its key, what is wrong, the fix.
    """
    value, mismatches = read(section, tree)
    if value is None:
        raise PolicyError(Problem("", write_key(one.key), describe(one, section, {})) for one in mismatches)
    return value


@cache
def _reader(kind: Kind) -> Reader:
    base, members_of_union = plain(kind), members(kind)
    if len(members_of_union) > 1 or members_of_union[0] is not kind:
        return partial(_read_union, members_of_union, type(None) in get_args(base))
    reader = _reader_of_one(base)
    extra = [one for one in metadata(kind) if isinstance(one, Bounds | Validator)]
    return partial(_read_checked, reader, extra) if extra else reader


def _reader_of_one(base: Kind) -> Reader:
    form = form_of(base)
    if is_section(base):
        return partial(_read_section, base)
    if form is dict:
        return partial(_read_table, _reader(get_args(base)[0]), _reader(get_args(base)[1]))
    if form is tuple:
        return partial(_read_list, _reader(get_args(base)[0]))
    if form is Literal:
        return partial(_read_choice, get_args(base))
    return _READERS[base]


def _wrong(value: Any, key: KeyPath, mismatches: Mismatches) -> Any:
    mismatches.append(Mismatch(key, "wrong value", value))
    return _INVALID


def _too_large(key: KeyPath, mismatches: Mismatches) -> Any:
    mismatches.append(Mismatch(key, "refused", f"the number is too large; write one up to {_LARGEST}"))
    return _INVALID


# --- values ------------------------------------------------------------------------------------------
def _read_bool(value: Any, key: KeyPath, mismatches: Mismatches) -> Any:
    return value if isinstance(value, bool) else _wrong(value, key, mismatches)


def _read_int(value: Any, key: KeyPath, mismatches: Mismatches) -> Any:
    if not isinstance(value, int) or isinstance(value, bool):
        return _wrong(value, key, mismatches)
    return value if abs(value) <= _LARGEST else _too_large(key, mismatches)


def _read_float(value: Any, key: KeyPath, mismatches: Mismatches) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            return _wrong(value, key, mismatches)
        if abs(number) <= _LARGEST:
            return number
        if math.isfinite(number):
            return _too_large(key, mismatches)
    return _wrong(value, key, mismatches)


def _read_text(value: Any, key: KeyPath, mismatches: Mismatches) -> Any:
    if isinstance(value, date | time):
        return str(value)
    return value if isinstance(value, str) else _wrong(value, key, mismatches)


_READERS: Final[dict[Kind, Reader]] = {
    bool: _read_bool,
    int: _read_int,
    float: _read_float,
    str: _read_text,
}


def _read_choice(choices: tuple[str, ...], value: Any, key: KeyPath, mismatches: Mismatches) -> Any:
    fits = isinstance(value, str) and value in choices
    return value if fits else _wrong(value, key, mismatches)


def _read_checked(
    reader: Reader, extra: Iterable[Bounds | Validator], value: Any, key: KeyPath, mismatches: Mismatches
) -> Any:
    converted = reader(value, key, mismatches)
    for one in extra:
        if converted is _INVALID:
            break
        if isinstance(one, Bounds):
            converted = converted if one.allow(converted) else _wrong(value, key, mismatches)
        else:
            converted = _accepted(one.function, converted, key, mismatches)
    return converted


def _accepted(check: Callable[[Any], object], value: Any, key: KeyPath, mismatches: Mismatches) -> Any:
    try:
        check(value)
    except InvalidKeys as error:
        mismatches.extend(Mismatch(key + below, "refused", said) for below, said in error.messages.items())
    except ValueError as error:
        mismatches.append(Mismatch(key, "refused", str(error)))
    else:
        return value
    return _INVALID


def _read_union(
    members_of_union: tuple[Kind, ...], optional: bool, value: Any, key: KeyPath, mismatches: Mismatches
) -> Any:
    if value is None and optional:
        return None
    fitting = [one for one in members_of_union if _is_table(one) is isinstance(value, dict)]
    if isinstance(value, dict) and len(fitting) > 1:
        # A table with a key of the section is the section; any other one is the table with free names.
        named = [
            one
            for one in fitting
            if is_section(plain(one)) and not types_of(plain(one)).keys().isdisjoint(value)
        ]
        fitting = named or [one for one in fitting if not is_section(plain(one))]
    if len(fitting) == 1:
        return _reader(fitting[0])(value, key, mismatches)
    for one in fitting:
        ignored: Mismatches = []
        converted = _reader(one)(value, key, ignored)
        if not ignored:
            return converted
    return _wrong(value, key, mismatches)


def _is_table(kind: Kind) -> bool:
    return form_of(plain(kind)) is dict or is_section(plain(kind))


# --- tables and lists --------------------------------------------------------------------------------
def _read_section(section: type[Section], value: Any, key: KeyPath, mismatches: Mismatches) -> Any:
    if isinstance(value, section):
        return value
    if not isinstance(value, dict):
        return _wrong(value, key, mismatches)
    before, kinds = len(mismatches), types_of(section)
    mismatches.extend(Mismatch((*key, name), "unknown key") for name in value if name not in kinds)
    missing = [name for name in kinds if name not in value and not hasattr(section, name)]
    if missing:
        mismatches.append(Mismatch(key, "missing keys", missing))
    values = {
        name: _reader(kind)(value[name], (*key, name), mismatches)
        for name, kind in kinds.items()
        if name in value
    }
    if len(mismatches) > before:
        return _INVALID
    return _accepted_section(section, values, key, mismatches)


def _accepted_section(
    section: type[Section], values: dict[str, Any], key: KeyPath, mismatches: Mismatches
) -> Any:
    converted = object.__new__(section)
    vars(converted).update(values)
    return _accepted(section.check, converted, key, mismatches)


def _read_table(names: Reader, values: Reader, value: Any, key: KeyPath, mismatches: Mismatches) -> Any:
    if not isinstance(value, dict):
        return _wrong(value, key, mismatches)
    before, table = len(mismatches), {}
    for name, one in value.items():
        here = (*key, name)
        wrong_names: Mismatches = []
        names(name, here, wrong_names)
        if wrong_names:
            mismatches.extend(
                bad._replace(reason="wrong name") if bad.reason == "wrong value" else bad
                for bad in wrong_names
            )
        else:
            table[name] = values(one, here, mismatches)
    return _INVALID if len(mismatches) > before else table


def _read_list(member: Reader, value: Any, key: KeyPath, mismatches: Mismatches) -> Any:
    if not isinstance(value, list | tuple):
        return _wrong(value, key, mismatches)
    before = len(mismatches)
    converted = tuple(member(one, (*key, str(number)), mismatches) for number, one in enumerate(value))
    return _INVALID if len(mismatches) > before else converted


def fits(kind: Kind, value: Any) -> bool:
    """Return whether a value fits a type."""
    mismatches: Mismatches = []
    _reader(kind)(value, (), mismatches)
    return not mismatches
