"""Attributes as Sentry's newer items have them: each value with its type."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from mita_otel._json import json_bytes

_LARGEST: Final = 2**63 - 1


def typed(value: Any) -> dict[str, Any]:
    """Return a value with its type; what has none of Sentry's types becomes text.

    Source: Sentry's span protocol and logs protocol, attribute object.
    """
    if isinstance(value, bool):
        return {"value": value, "type": "boolean"}
    if isinstance(value, int) and -_LARGEST <= value <= _LARGEST:
        return {"value": value, "type": "integer"}
    if isinstance(value, float) and math.isfinite(value):
        return {"value": value, "type": "double"}
    if isinstance(value, list | tuple):
        kinds = {type(one) for one in value}
        if len(kinds) <= 1 and kinds <= {str, int, float, bool}:
            return {"value": list(value), "type": "array"}
    if isinstance(value, str):
        return {"value": value, "type": "string"}
    if isinstance(value, Mapping | list | tuple):
        return {"value": json_bytes(value).decode(), "type": "string"}
    return {"value": str(value), "type": "string"}


def typed_attributes(attributes: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return attributes with their types, without those that have no value."""
    return {str(name): typed(value) for name, value in attributes.items() if value is not None}
