"""What the model knows about itself: the keys of each table, for messages, documentation and tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

KeyPath = tuple[str, ...]


def known_keys(model: type[BaseModel], path: KeyPath) -> list[str]:
    """Return the keys that a table of the policy can have; empty where any name will do."""
    for part in path:
        field = model.model_fields.get(part)
        inner = _model_of(field.annotation) if field else None
        if inner is None:
            return []
        model = inner
    return list(model.model_fields)


def settings(model: type[BaseModel], path: KeyPath = ()) -> Iterator[tuple[KeyPath, str]]:
    """Yield each setting's key and description; a free table (limits by name) is one setting."""
    for name, field in model.model_fields.items():
        here = (*path, name)
        inner = _model_of(field.annotation)
        if inner is not None:
            yield from settings(inner, here)
        else:
            yield here, field.description or ""


def _model_of(annotation: Any) -> type[BaseModel] | None:
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
