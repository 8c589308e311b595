"""The operation that a span is one of: what durations are gathered by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mita_otel.latency.facts import SpanFacts
from mita_otel.policy.limits import Kind

METHODS: Final = frozenset(
    {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"}
)
"""HTTP's methods. What else stands in a method's place came off the wire and may be anything."""

OTHER: Final = "(other)"
"""The operation of a kind that stands for all those that there is no room for."""

_FUNCTION: Final = ("code.function.name", "code.function")


@dataclass(frozen=True, slots=True)
class Operation:
    """What a span is one of."""

    kind: Kind
    name: str
    """As in `GET /api/accounts/{id}/balance`, `SELECT payments` or `payment_processing`. Never a raw path."""


def operation_of(facts: SpanFacts) -> Operation | None:
    """Return the operation of a span, or None for a span of no kind.

    Names come from route templates, statements' verbs and tables, hosts, and what the service calls its
    operations; whoever shows the last to others redacts it first.
    """
    kind = facts.kind
    return Operation(kind, _name(kind, facts)) if kind else None


def method_of(facts: SpanFacts) -> str:
    """Return the HTTP method; `_OTHER` for what is none."""
    return facts.method if facts.method in METHODS else "_OTHER"


def _name(kind: Kind, facts: SpanFacts) -> str:
    match kind:
        case "api":
            return f"{method_of(facts)} {facts.route or '(no route)'}"
        case "database":
            return (
                " ".join(part for part in (facts.verb, facts.table) if part)
                or facts.operation
                or "(statement)"
            )
        case "outgoing":
            return f"{method_of(facts)} {facts.host or '(no host)'}"
        case "cache":
            return facts.command or "(command)"
        case "checkout":
            return str(facts.attributes.get("db.client.connection.pool.name") or "connect")
        case "consumer":
            return facts.destination or facts.operation or "(no destination)"
        case "background":
            if facts.operation:
                return facts.operation
            named = next((facts.attributes[name] for name in _FUNCTION if name in facts.attributes), None)
            return str(named) if named else facts.name
    return facts.operation or facts.category or facts.name
