"""The requirements of PCI DSS that reports assess, as listed in `requirements.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any


@dataclass(frozen=True, slots=True)
class RequirementDefinition:
    """A requirement from `requirements.toml`, where the fields are documented."""

    id: str
    title: str
    section: str | None = None
    types: tuple[str, ...] = ()
    outcomes: tuple[str, ...] = ()
    automatic: bool = False
    fields: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    limitation: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class EntryRules:
    """How entries are judged."""

    placeholders: frozenset[str]
    """User ids, in lower case, that identify no user."""
    affects_service: frozenset[str]
    """Event types whose affected resource is the service."""


def requirement_definitions() -> tuple[RequirementDefinition, ...]:
    """Return the requirements of `requirements.toml`."""
    return tuple(RequirementDefinition(**_tuples(one)) for one in _file()["requirement"])


def entry_rules() -> EntryRules:
    """Return how entries are judged, from `requirements.toml`."""
    rules = _file()["entries"]
    return EntryRules(frozenset(rules["placeholders"]), frozenset(rules["affects_service"]))


@lru_cache(maxsize=1)
def _file() -> dict[str, Any]:
    return tomllib.loads(files("mita_otel.reports").joinpath("requirements.toml").read_text("utf-8"))


def _tuples(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
