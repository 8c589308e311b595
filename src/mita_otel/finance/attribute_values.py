"""Converts an application's objects to bounded attribute values of spans and log records."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from decimal import Decimal
from enum import Enum
from itertools import islice
from typing import Any, Final
from uuid import UUID

from mita_otel.errors import raise_interrupt
from mita_otel.policy.finance import ContextPolicy

_LARGEST: Final = 2**63
"""Integers of OTLP have 64 bits."""


def attribute_value(value: Any, bounds: ContextPolicy, depth: int = 0) -> Any:
    """Return the value as texts, numbers, lists and mappings within the policy's bounds. Never raises.

    Other objects become the name of their type, because their `repr` could contain secrets or be slow.
    """
    try:
        return _convert(value, bounds, depth)
    except BaseException as error:  # noqa: BLE001 - an application's object may raise anything
        raise_interrupt(error)
        return f"<{type(value).__qualname__}>"


def attribute_mapping(mapping: Mapping[Any, Any] | None, bounds: ContextPolicy) -> dict[str, Any]:
    """Return a mapping of attribute values, without None."""
    result = attribute_value(mapping, bounds) if isinstance(mapping, Mapping) else None
    return {key: value for key, value in result.items() if value is not None} if type(result) is dict else {}


def _convert(value: Any, bounds: ContextPolicy, depth: int) -> Any:
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, Enum):
        return _convert(value.value, bounds, depth)
    if isinstance(value, str):
        return str(value[: bounds.max_text])
    if isinstance(value, int):
        return int(value) if -_LARGEST <= value < _LARGEST else str(value)[: bounds.max_text]
    if isinstance(value, Decimal | UUID):
        return str(value)
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, dt.timedelta):
        return value.total_seconds()
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(bytes(value))} bytes>"
    return _convert_container(value, bounds, depth)


def _convert_container(value: Any, bounds: ContextPolicy, depth: int) -> Any:
    fields = _fields_of(value)
    if fields is None and not isinstance(value, list | tuple | AbstractSet):
        return f"<{type(value).__qualname__}>"
    if depth >= bounds.max_depth:
        return "<too deep>"
    if fields is not None:
        return {
            str(key)[: bounds.max_text]: attribute_value(member, bounds, depth + 1)
            for key, member in islice(fields, bounds.max_items)
        }
    return [attribute_value(member, bounds, depth + 1) for member in islice(value, bounds.max_items)]


def _fields_of(value: Any) -> Iterable[tuple[Any, Any]] | None:
    """Return the members of a mapping, a dataclass or a pydantic model. None: another type.

    Mapped database objects are not read: their attributes could run a query.
    """
    if isinstance(value, Mapping):
        return value.items()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        if hasattr(value, "_sa_instance_state"):
            return None
        return [(field.name, getattr(value, field.name)) for field in dataclasses.fields(value)]
    fields = getattr(type(value), "model_fields", None)
    if isinstance(fields, dict):
        return [(name, vars(value).get(name)) for name in fields]
    return None
