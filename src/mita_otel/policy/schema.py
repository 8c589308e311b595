"""What the model knows about itself: the type of each setting, for messages, variables and documentation."""

from __future__ import annotations

from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Literal, TypeGuard, Union, get_args, get_origin

from mita_otel.policy.section import Section, docstrings_of, types_of
from mita_otel.policy.toml_text import KeyPath

Kind = Any
"""A type as the model writes it: a class, `Literal[…]`, `tuple[…]`, `dict[…]`, a union, or one of them `Annotated`."""


def form_of(kind: Kind) -> Any:
    """Return what the type is made with: `dict`, `tuple`, `Literal`, `Annotated`, a union; None for a class."""
    return get_origin(kind)


def kind_at(kind: Kind, key: KeyPath) -> Kind | None:
    """Return the type of the setting, table or member at `key` below `kind`; None where there can be none."""
    for part in key:
        kind = _kind_below(kind, part)
        if kind is None:
            return None
    return kind


def _kind_below(kind: Kind, part: str) -> Kind | None:
    for one in map(plain, members(kind)):
        if is_section(one) and part in types_of(one):
            return types_of(one)[part]
        if form_of(one) is dict:
            return get_args(one)[1]
        if form_of(one) in (tuple, list) and part.isdigit():
            return get_args(one)[0]
    return None


def known_keys(kind: Kind, key: KeyPath = ()) -> list[str]:
    """Return the keys that the table at `key` can have; empty where any name will do."""
    table = kind_at(kind, key)
    return [name for one in members(table) if is_section(plain(one)) for name in types_of(plain(one))]


def key_kind_at(kind: Kind, key: KeyPath) -> Kind:
    """Return the type of the names in the table at `key`."""
    tables = (plain(one) for one in members(kind_at(kind, key)))
    return next((get_args(table)[0] for table in tables if form_of(table) is dict), str)


def is_section(kind: Kind) -> TypeGuard[type[Section]]:
    """Return whether the type is a table with known keys."""
    return isinstance(kind, type) and issubclass(kind, Section)


def plain(kind: Kind) -> Kind:
    """Return the type without its annotations."""
    return plain(get_args(kind)[0]) if form_of(kind) is Annotated else kind


def metadata(kind: Kind) -> tuple[Any, ...]:
    """Return what annotates the type: `Bounds`, `Validator`."""
    return tuple(get_args(kind)[1:]) if form_of(kind) is Annotated else ()


def members(kind: Kind) -> tuple[Kind, ...]:
    """Return the types of a union without None, and of unions in it; of any other type, that type alone."""
    base = plain(kind)
    if form_of(base) not in (Union, UnionType):
        return (kind,)
    return tuple(one for part in get_args(base) if part is not type(None) for one in members(part))


def is_text(kind: Kind) -> bool:
    """Return whether nothing but a text will do."""
    return all(plain(one) is str or form_of(plain(one)) is Literal for one in members(kind))


def is_list(kind: Kind) -> bool:
    """Return whether nothing but a list will do."""
    return all(form_of(plain(one)) in (tuple, list) for one in members(kind))


def is_table(kind: Kind) -> bool:
    """Return whether nothing but a table will do."""
    return all(form_of(plain(one)) is dict or is_section(plain(one)) for one in members(kind))


def settings(kind: Kind, key: KeyPath = ()) -> Iterator[tuple[KeyPath, Kind, str]]:
    """Yield key, type and description of each setting; a free table (limits by name) is one setting."""
    docstrings = docstrings_of(plain(kind))
    for name, one in types_of(plain(kind)).items():
        here = (*key, name)
        if is_section(plain(one)):
            yield from settings(one, here)
        else:
            yield here, one, docstrings.get(name, "")
