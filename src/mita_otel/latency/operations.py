"""The operation of a span, by which durations are grouped, and the bounded names of operations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from mita_otel.latency.facts import SpanFacts
from mita_otel.policy.limits import HTTP_METHODS, Kind

OTHER: Final = "(other)"
"""The operation that counts all operations of a kind beyond the bound."""

_FUNCTION: Final = ("code.function.name", "code.function")


@dataclass(frozen=True, slots=True)
class Operation:
    """The operation of a span."""

    kind: Kind
    name: str
    """As in `GET /api/accounts/{id}/balance`, `SELECT payments` or `payment_processing`. Never a raw path."""


def operation_of(facts: SpanFacts) -> Operation | None:
    """Return the operation of a span, or None for a span of no kind.

    Names come from route templates, statements' verbs and tables, hosts, and what the service calls its
    operations. The last is redacted before it is exported.
    """
    kind = facts.kind
    return Operation(kind, _name(kind, facts)) if kind else None


def method_of(facts: SpanFacts) -> str:
    """Return the HTTP method; `_OTHER` if it is unknown."""
    return facts.method if facts.method in HTTP_METHODS else "_OTHER"


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
            return facts.bounded_destination or facts.operation or "(no destination)"
        case "background":
            if facts.operation:
                return facts.operation
            named = next((facts.attributes[name] for name in _FUNCTION if name in facts.attributes), None)
            return str(named) if named else facts.name
    return facts.operation or facts.category or facts.name


@dataclass(slots=True)
class _Name:
    shown: Operation
    seen_s: float


class OperationNames:
    """Gives operations the names that summaries, metrics and messages use.

    A name may contain a secret, so it is redacted, once. Operations beyond the bound are `(other)` of their kind.

    Args:
        max_operations: Number of distinct operations.
        redact: Redacts a name.
        clock: Seconds since the epoch.
    """

    def __init__(
        self, max_operations: int, *, clock: Callable[[], float], redact: Callable[[str], str] = str
    ) -> None:
        self._max_operations = max_operations
        self._redact = redact
        self._clock = clock
        self._names: dict[Operation, _Name] = {}

    def shown(self, operation: Operation) -> Operation:
        """Return the operation as it may be shown."""
        name = self._names.get(operation)
        if name is not None:
            name.seen_s = self._clock()
            return name.shown
        if len(self._names) >= self._max_operations:
            return Operation(operation.kind, OTHER)
        shown = Operation(operation.kind, self._redact(operation.name))
        self._names[operation] = _Name(shown, self._clock())
        return shown

    def known(self, operation: Operation) -> Operation | None:
        """Return the operation as it is shown, or None if it was never seen, or is one of the others."""
        name = self._names.get(operation)
        return name.shown if name is not None else None

    def forget(self, before_s: float) -> None:
        """Forget operations that were not seen since `before_s` (seconds since the epoch)."""
        for operation in [one for one, name in list(self._names.items()) if name.seen_s < before_s]:
            self._names.pop(operation, None)
