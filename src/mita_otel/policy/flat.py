"""A policy as a list of keys and values: for `policy show` and for the reference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mita_otel.policy.model import Policy
from mita_otel.policy.schema import is_table, kind_at
from mita_otel.policy.spelling import KeyPath


def values(policy: Policy) -> Iterator[tuple[KeyPath, Any]]:
    """Yield each value of a policy with its key, as TOML would have it; a table without members is a value."""
    yield from _values(policy.to_dict(only_given=True), ())


def _values(table: Mapping[str, Any], key: KeyPath) -> Iterator[tuple[KeyPath, Any]]:
    for name, value in table.items():
        here = (*key, name)
        if value and isinstance(value, dict) and is_table(kind_at(Policy, here)):
            yield from _values(value, here)
        else:
            yield here, value
