"""Generates the JSON schema of a report from the types and docstrings of its classes."""

from __future__ import annotations

import dataclasses
import inspect
from datetime import datetime
from types import NoneType, UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from mita_otel.policy.section import docstrings_of
from mita_otel.reports.model import Report

_TYPES: Final[dict[Any, dict[str, str]]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    datetime: {"type": "string", "format": "date-time"},
    NoneType: {"type": "null"},
}


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of a report."""
    definitions: dict[str, Any] = {}
    schema = _object(Report, definitions)
    return {"$defs": dict(sorted(definitions.items())), **schema}


def _object(part: type[Any], definitions: dict[str, Any]) -> dict[str, Any]:
    types, docstrings = get_type_hints(part), docstrings_of(part)
    properties: dict[str, Any] = {}
    required = []
    for field in dataclasses.fields(part):
        schema = _schema(types[field.name], definitions)
        if field.default is not dataclasses.MISSING:
            schema["default"] = field.default
        elif field.default_factory is dataclasses.MISSING:
            required.append(field.name)
        if field.name in docstrings:
            schema["description"] = docstrings[field.name]
        properties[field.name] = schema
    return {
        "additionalProperties": False,
        "description": inspect.cleandoc(part.__doc__ or ""),
        "properties": properties,
        "required": required,
        "title": part.__name__,
        "type": "object",
    }


def _schema(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    form, arguments = get_origin(kind), get_args(kind)
    if form is Literal:
        return (
            {"const": arguments[0], "type": "string"}
            if len(arguments) == 1
            else {"enum": list(arguments), "type": "string"}
        )
    if form is list:
        return {"items": _schema(arguments[0], definitions), "type": "array"}
    if form in (Union, UnionType):
        return {"anyOf": [_schema(one, definitions) for one in arguments]}
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        if kind.__name__ not in definitions:
            definitions[kind.__name__] = {}
            definitions[kind.__name__] = _object(kind, definitions)
        return {"$ref": f"#/$defs/{kind.__name__}"}
    return dict(_TYPES[kind])
