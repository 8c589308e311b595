"""Emits an error or event: one log record in the current trace, and attributes on the span."""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from opentelemetry import context, trace
from opentelemetry._logs import SeverityNumber
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode

from mita_otel import semconv
from mita_otel.finance.attribute_values import attribute_mapping, attribute_value
from mita_otel.finance.categories import FinancialSeverity, at_least, severity_of
from mita_otel.finance.facts import Facts, breadcrumbs_here
from mita_otel.finance.runtime import FinanceRuntime
from mita_otel.policy.finance import SeverityMapping


class EventId(str):
    """An event's id: 32 hexadecimal digits, the same in Sentry and in exported data.

    Empty if nothing was captured, because telemetry is off. Awaiting it returns the id at once.
    """

    __slots__ = ()

    def __await__(self) -> Generator[Any, None, str]:
        yield from ()  # there is nothing to wait for; awaiting requires a generator
        return str(self)

    @classmethod
    def new(cls) -> EventId:
        """Return a new, unique id."""
        return cls(uuid4().hex)


NO_EVENT = EventId("")
"""The id of an event that was not captured."""


_logger = logging.getLogger("mita_otel.finance")


@dataclass(frozen=True, kw_only=True)
class FinancialEvent:
    """An error or event."""

    name: str
    """The event name: `mita.error`, `mita.security` or `mita.compliance`."""
    message: str
    severity: FinancialSeverity
    facts: Facts
    """The facts known where it happened."""
    category: str | None = None
    event_id: str | None = None
    """None: it does not become an issue."""
    exception: BaseException | None = None
    handled: bool = True
    level: int = 0
    """Lowest severity number of its log record; 0: that of its severity."""
    fails_span: bool = True
    """Whether a severe one sets the status of the current span."""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    """Additional attributes."""
    contexts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Additional contexts, merged over those of the facts."""
    tags: Mapping[str, str] = field(default_factory=dict)
    fingerprint: Sequence[str] = ()


@dataclass(frozen=True)
class PreparedEvent:
    """An event whose values were all read from the application's objects, so that sending it cannot fail."""

    happening: FinancialEvent
    attributes: Mapping[str, Any]
    within: Context
    """The context it belongs to."""

    @property
    def span_context(self) -> SpanContext:
        """The span it belongs to."""
        return trace.get_current_span(self.within).get_span_context()


def prepare(happening: FinancialEvent, runtime: FinanceRuntime) -> PreparedEvent:
    """Prepare an event. Exceptions of the application's objects are raised here."""
    return PreparedEvent(happening, _attributes(happening, runtime), _context_of(happening.facts))


def send(sending: PreparedEvent, runtime: FinanceRuntime) -> None:
    """Emit the log record and mark the spans."""
    happening, within = sending.happening, sending.within
    mapping = _level(happening, runtime)
    runtime.guard(
        "a log record processor",
        runtime.logger.emit,
        timestamp=time.time_ns(),
        context=within,
        severity_number=SeverityNumber(max(mapping.number, happening.level)),
        severity_text=mapping.text
        if mapping.number >= happening.level
        else SeverityNumber(happening.level).name,
        body=happening.message,
        attributes=sending.attributes,
        event_name=happening.name,
        exception=happening.exception,
    )
    span = trace.get_current_span(within)
    if not span.is_recording() and not runtime.logger.enabled(event_name=happening.name):
        _log_unexported(sending)
    _mark(
        span,
        happening,
        failed=mapping.failure and happening.fails_span and happening.name == semconv.ERROR_EVENT,
    )
    server_span = happening.facts.shared.server_span if happening.facts.shared is not None else None
    if server_span is not None and server_span is not span:
        _mark(server_span, happening, failed=False, event=False)


def _level(happening: FinancialEvent, runtime: FinanceRuntime) -> SeverityMapping:
    """Return the level of an event. A crash is an error, also if its category is less severe."""
    levels = runtime.policy.severities
    level = levels[happening.severity.value]
    if happening.handled or happening.name != semconv.ERROR_EVENT:
        return level
    return max(level, levels[runtime.policy.operations.unhandled_level], key=lambda one: one.number)


def _log_unexported(sending: PreparedEvent) -> None:
    """Log an event that no exporter receives. The message is left out, because it may contain a secret."""
    happening = sending.happening
    _logger.warning(
        "%s %s of severity %s (%s): no exporter takes log records, and no span is current",
        happening.name,
        happening.event_id or "without id",
        happening.severity.value,
        ", ".join(map(str, sending.attributes.get(semconv.FINGERPRINT, ()))),
    )


def _context_of(facts: Facts) -> Context:
    """Return the context of the event: the current span, or the request's span even if it has ended."""
    here = context.get_current()
    if trace.get_current_span(here).get_span_context().is_valid or facts.shared is None:
        return here
    server_span = facts.shared.server_span
    if server_span is None:
        return here
    return trace.set_span_in_context(NonRecordingSpan(server_span.get_span_context()), here)


def _attributes(happening: FinancialEvent, runtime: FinanceRuntime) -> dict[str, Any]:
    facts = happening.facts
    money = _money(facts, runtime)
    contexts = _contexts(happening, runtime, money)
    optional = {
        semconv.EVENT_ID: happening.event_id,
        semconv.ERROR_CATEGORY: happening.category,
        semconv.OPERATION: facts.operation,
        semconv.FINGERPRINT: [
            str(attribute_value(part, runtime.policy.context)) for part in happening.fingerprint
        ]
        or None,
        semconv.AMOUNT: money.get("amount"),
        semconv.CURRENCY: money.get("currency"),
        semconv.BREADCRUMBS: [dict(crumb) for crumb in breadcrumbs_here()] or None,
    }
    return {
        **facts.attributes,
        **{name: value for name, value in optional.items() if value is not None},
        semconv.SEVERITY: happening.severity.value,
        semconv.HANDLED: happening.handled,
        semconv.CONTEXTS: contexts,
        semconv.TAGS: _tags(happening, runtime),
        **happening.attributes,
    }


def _money(facts: Facts, runtime: FinanceRuntime) -> dict[str, str]:
    if facts.transaction is None:
        return {}
    currency = runtime.money.currency(facts.transaction.currency)
    amount = runtime.money.amount(facts.transaction.amount, currency)
    return {name: value for name, value in (("amount", amount), ("currency", currency)) if value is not None}


def _contexts(happening: FinancialEvent, runtime: FinanceRuntime, money: Mapping[str, str]) -> dict[str, Any]:
    facts, shared = happening.facts, happening.facts.shared
    financial: dict[str, Any] = {
        "category": happening.category,
        "severity": happening.severity.value,
        "operation": facts.operation,
        "transaction_id": facts.transaction.id if facts.transaction is not None else None,
        **money,
        **(facts.transaction.details() if facts.transaction is not None else {}),
    }
    performance = shared.performance() if shared is not None else {}
    if facts.started is not None:
        performance["operation_ms"] = round((runtime.clock() - facts.started) * 1000, 3)
    known: dict[str, Mapping[str, Any]] = {
        "financial": financial,
        "user": facts.user.context() if facts.user is not None else {},
        "request": shared.request_context() if shared is not None else {},
        "compliance": facts.compliance or {},
        "performance": performance,
    }
    names = {**known, **happening.contexts}
    merged = {name: {**known.get(name, {}), **happening.contexts.get(name, {})} for name in names}
    shown = {name: attribute_mapping(members, runtime.policy.context) for name, members in merged.items()}
    return {name: members for name, members in shown.items() if members}


def _tags(happening: FinancialEvent, runtime: FinanceRuntime) -> dict[str, str]:
    facts = happening.facts
    found = {
        "financial_service": "true",
        "severity": happening.severity.value,
        "error_category": happening.category,
        "financial_operation": facts.operation,
        "transaction_id": facts.transaction.id if facts.transaction is not None else None,
        "pci_scope": "true" if facts.pci else None,
        **(facts.tags or {}),
        **happening.tags,
    }
    bounds = runtime.policy.context
    return {
        str(name): str(attribute_value(value, bounds)) for name, value in found.items() if value is not None
    }


def _mark(span: trace.Span, happening: FinancialEvent, *, failed: bool, event: bool = True) -> None:
    """Mark the span with the worst event that happened in it."""
    if not span.is_recording():
        return
    known = severity_of((getattr(span, "attributes", None) or {}).get(semconv.SEVERITY))
    marks = {semconv.SEVERITY: happening.severity.value}
    if happening.category is not None:
        marks[semconv.ERROR_CATEGORY] = happening.category
    if happening.event_id is not None:
        marks[semconv.EVENT_ID] = happening.event_id
    if known is None or at_least(happening.severity, known.value):
        span.set_attributes(marks)
    if happening.name == semconv.SECURITY_EVENT:
        span.set_attribute(semconv.SECURITY_EVENT_TYPE, happening.attributes[semconv.SECURITY_EVENT_TYPE])
    if event:
        if happening.exception is not None:
            marks[semconv.ERROR_TYPE] = type(happening.exception).__qualname__
        span.add_event(happening.name, {**marks, **happening.attributes})
    # A request that handled an error did not fail: its status code states the outcome.
    answered = happening.handled and getattr(span, "kind", None) is SpanKind.SERVER
    if failed and not answered:
        span.set_status(Status(StatusCode.ERROR, happening.message))
