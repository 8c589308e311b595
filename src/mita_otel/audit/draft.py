"""Builds an entry from an event: redacted, bounded, with personal data kept apart."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from opentelemetry import trace
from opentelemetry.trace import format_span_id, format_trace_id

from mita_otel.audit.canonical import canonical, clean_text
from mita_otel.audit.event import AuditEvent
from mita_otel.policy.storage import AuditPolicy
from mita_otel.redaction import Redactor

_TREES: Final = ("details", "before", "after")
_TEXTS: Final = ("resource_type", "resource_id", "request_id", "trace_id", "span_id")
_MAX_TEXT: Final = 512
"""Characters of a single field, such as a user's id; they are database columns with an index."""
_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Origin:
    """Where entries come from. All entries of a process share it."""

    service: str
    host: str
    environment: str
    process: int
    """The process's id."""


@dataclass(frozen=True, slots=True)
class Draft:
    """An entry without its position in the chain."""

    fields: Mapping[str, Any]
    """The signed fields, without those of the chain."""
    personal: Personal | None


class Drafter:
    """Builds drafts. All of their values have passed the redactor.

    Args:
        policy: Which fields are personal, and the maximum size of an entry.
        redactor: Redacts all values.
    """

    def __init__(self, policy: AuditPolicy, redactor: Redactor) -> None:
        self._names = frozenset(name.lower() for name in policy.personal)
        self._max_bytes = policy.max_entry_kilobytes * 1024
        self._redactor = redactor

    def draft(self, event: AuditEvent, origin: Origin) -> Draft:
        """Return the draft of an event."""
        user_id = self.user_id(event.user_id)
        span = trace.get_current_span().get_span_context()
        fields: dict[str, Any] = {
            "type": str(event.event_type),
            "outcome": str(event.outcome),
            "service": origin.service,
            "host": origin.host,
            "environment": origin.environment,
            "process": origin.process,
        }
        texts: dict[str, str | None] = {name: self._text(name, getattr(event, name)) for name in _TEXTS}
        if texts["trace_id"] is None and span.is_valid:
            texts["trace_id"] = format_trace_id(span.trace_id)
            texts["span_id"] = texts["span_id"] or format_span_id(span.span_id)
        trees: dict[str, Any] = {
            name: self._redactor.attributes(tree)
            for name in _TREES
            if (tree := getattr(event, name)) is not None
        }
        rest, taken = separate(
            {**{name: text for name, text in texts.items() if text is not None}, **trees},
            self._names,
            user_id,
        )
        fields.update(self._bounded(rest))
        if event.occurred_at is not None:
            fields["occurred_ns"] = _nanoseconds(event.occurred_at)
        who = {
            "user_id": user_id,
            "client_address": self._text("client_address", event.client_address),
            "fields": taken,
        }
        personal = {name: value for name, value in who.items() if value}
        return Draft(fields, Personal.seal(personal) if personal else None)

    def user_id(self, user_id: str | None) -> str | None:
        """Return a user's id in the form that entries contain."""
        return self._text("user_id", user_id)

    def _text(self, name: str, text: str | None) -> str | None:
        if text is None:
            return None
        safe = self._redactor.value(name, str(text))
        return None if safe is None else clean_text(str(safe))[:_MAX_TEXT]

    def _bounded(self, rest: dict[str, Any]) -> dict[str, Any]:
        """Replace the largest trees by their digest until the entry is small enough."""
        sizes = {name: len(canonical(rest[name])) for name in _TREES if name in rest}
        while sizes and sum(sizes.values()) > self._max_bytes:
            largest = max(sizes, key=sizes.__getitem__)
            digest = hashlib.sha256(canonical(rest[largest])).hexdigest()
            rest[largest] = {"left_out": "too large", "bytes": sizes.pop(largest), "sha256": digest}
        return rest


def _nanoseconds(moment: datetime) -> int:
    whole = moment.astimezone(UTC)
    return int(whole.replace(microsecond=0).timestamp()) * _NS + whole.microsecond * 1000


PLACEHOLDER: Final = "[personal]"
"""Replaces a personal value in the body."""

_KEY_BYTES: Final = 16

Path = list[str | int]


@dataclass(frozen=True, slots=True)
class Personal:
    """The personal part of an entry."""

    data: bytes
    """Canonical JSON."""
    key: str
    """The random key of the commitment, hexadecimal."""

    @classmethod
    def seal(cls, values: Mapping[str, Any]) -> Personal:
        """Return the personal part under a new key."""
        return cls(canonical(values), secrets.token_hex(_KEY_BYTES))

    @property
    def commitment(self) -> str:
        """The value in the signed body that replaces the personal part."""
        return hmac.digest(bytes.fromhex(self.key), self.data, "sha256").hex()

    @property
    def values(self) -> dict[str, Any]:
        """`user_id`, `client_address`, and `fields`: pairs of path and value."""
        values: dict[str, Any] = orjson.loads(self.data)
        return values


def separate(tree: Any, names: frozenset[str], user_id: str | None) -> tuple[Any, list[tuple[Path, Any]]]:
    """Separate personal values from a tree.

    Args:
        tree: Nested mappings and lists.
        names: Lower-case names whose values are personal.
        user_id: A value that equals it is personal under any name.

    Returns:
        The tree with placeholders, and the personal values as pairs of path and value.
    """
    taken: list[tuple[Path, Any]] = []

    def walk(node: Any, path: Path) -> Any:
        if isinstance(node, Mapping):
            return {
                key: take(member, [*path, key])
                if str(key).lower() in names and member is not None
                else walk(member, [*path, key])
                for key, member in node.items()
            }
        if isinstance(node, Sequence) and not isinstance(node, str | bytes):
            return [walk(member, [*path, index]) for index, member in enumerate(node)]
        if user_id is not None and isinstance(node, str | int) and str(node) == user_id:
            return take(node, path)
        return node

    def take(value: Any, path: Path) -> str:
        taken.append((path, value))
        return PLACEHOLDER

    return walk(tree, []), taken


def restore(tree: Any, taken: Sequence[Sequence[Any]]) -> Any:
    """Return the tree with its personal values restored, as far as their places still exist."""
    for path, value in taken:
        node = tree
        try:
            for step in path[:-1]:
                node = node[step]
            if node[path[-1]] == PLACEHOLDER:
                node[path[-1]] = value
        except (KeyError, IndexError, TypeError):
            continue  # that part was too large and was replaced by its digest
    return tree
