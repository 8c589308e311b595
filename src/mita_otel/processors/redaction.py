"""The redaction boundary for spans: every part of a span is redacted before any exporter."""

from __future__ import annotations

import logging
import operator
import sys
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Generic, NamedTuple, TypeVar

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link as SpanLink
from opentelemetry.trace import SpanContext, Status, TraceState

from mita_otel import semconv
from mita_otel.policy.redaction import RedactionPolicy
from mita_otel.processors.finished_spans import RewrittenSpan
from mita_otel.processors.link import Link
from mita_otel.processors.queues.forks import ForkSafeLock
from mita_otel.processors.statement_names import named_after_statement
from mita_otel.processors.value_lengths import ValueLengths
from mita_otel.redaction import Findings, Redactor

_logger = logging.getLogger("mita_otel")

_WITHHELD_NAME: Final = "[redacted:error]"


class _Parts(NamedTuple):
    """The redacted parts of a span."""

    name: str
    attributes: dict[str, Any]
    events: list[Event]
    links: list[SpanLink]
    status: Status
    context: SpanContext | None


class RedactionProcessor(Link):
    """Redacts spans.

    It redacts name, attributes, events, links, status description, resource, instrumentation scope and tracestate. A
    span without a secret is passed on unchanged. Otherwise a redacted copy is passed on, with the number of redacted
    values (`mita.redacted`) and the rules that matched (`mita.redacted.rules`).

    Fails closed: if a span cannot be redacted, only its ids, times, kind and status code are passed on.

    Args:
        redaction: The policy section, or a redactor.
        next_processor: Receives the spans.
        recorded_lengths: Lengths at which the provider cuts values. None given: those that the environment sets.
        step: Called between the spans of a trace, so that a background thread can pause; see `Slices.step`.
    """

    def __init__(
        self,
        redaction: RedactionPolicy | Redactor,
        next_processor: SpanProcessor,
        *,
        recorded_lengths: Sequence[int | None] = (),
        step: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(next_processor)
        self._step = step
        self._redactor = redaction if isinstance(redaction, Redactor) else Redactor(redaction)
        self._origins = RedactedOrigins(self._redactor)
        self._lengths, self._lengths_of_members = ValueLengths.of_spans(
            *recorded_lengths, find=self._redactor.find
        )
        self.redacted: Counter[str] = Counter()
        """Values that were redacted so far, by rule."""

    def process(self, span: ReadableSpan) -> ReadableSpan | None:
        """Return the span, or a redacted copy of it. The name that a contrib package took from a statement is replaced."""
        span = named_after_statement(span)
        findings = self._redactor.findings(span.context.trace_id if span.context else None)
        known = len(findings.known)
        parts = self._parts(span, findings)
        if len(findings.known) > known:  # redact again: earlier parts may hold the secret as well
            findings.clear()
            parts = self._parts(span, findings)
        resource = self._origins.resource(span.resource)
        scope = self._origins.scope(span.instrumentation_scope)
        cut = self._lengths.cut(parts.attributes, span.attributes)
        if cut is not None:
            parts = parts._replace(attributes=cut)
        elif not findings and _are_same(
            [span.resource, span.instrumentation_scope, *span.events, *span.links],
            [resource, scope, *parts.events, *parts.links],
        ):
            return span
        if findings:
            self.redacted.update(findings)
            parts.attributes.update(report(findings, parts.attributes))
        return RewrittenSpan(span, **parts._asdict(), resource=resource, scope=scope)

    def on_trace_end(self, spans: Iterable[ReadableSpan]) -> None:
        """Redact held spans of one trace and pass them on. A secret that one of them shows is redacted in all."""
        redacted: list[tuple[ReadableSpan, int]] = []
        for span in spans:
            safe = self.processed(span)
            if safe is not None:
                redacted.append((safe, self._known(safe)))
            self._step()
        for safe, known in redacted:
            last = self.again(safe) if known < self._known(safe) else safe
            if last is not None:
                self.next_processor.on_end(last)
            self._step()

    def _known(self, span: ReadableSpan) -> int:
        """Return the number of known secrets of the span's trace."""
        return len(self._redactor.findings(span.context.trace_id).known) if span.context else 0

    def again(self, span: ReadableSpan) -> ReadableSpan | None:
        """Redact a span once more if secrets were found in its trace since it was redacted."""
        known = span.context is not None and self._redactor.knows_secrets_of(span.context.trace_id)
        return self.processed(span) if known else span

    def _parts(self, span: ReadableSpan, findings: Findings) -> _Parts:
        attributes = self._lengths.redacted_ends(span.attributes, findings)
        return _Parts(
            name=self._redactor.text(span.name, findings),
            attributes=self._redactor.attributes(attributes, findings),
            events=[self._event(event, findings) for event in span.events],
            links=[self._link(link, findings) for link in span.links],
            status=self._status(span.status, findings),
            context=self._context(span.context, findings),
        )

    def salvage(self, span: ReadableSpan) -> ReadableSpan | None:
        """Return a copy with ids, times, kind, status code and a marker only: these hold no secret."""
        return RewrittenSpan(
            span,
            name=_WITHHELD_NAME,
            attributes={semconv.REDACTED: 1, semconv.REDACTED_RULES: ("error:1",)},
            events=(),
            links=(),
            status=Status(span.status.status_code),
            resource=Resource({}),
            scope=InstrumentationScope("mita_otel"),
            context=_with_state(span.context, TraceState()),
        )

    def _count_failure(self) -> None:
        """Count a failure, and log the first one without the exception's message, which may quote a secret."""
        self.failures += 1
        if not self._reported.is_set():
            self._reported.set()
            kind = type(sys.exception()).__name__
            _logger.error(
                "%s failed on a span (%s): it is passed on without name, attributes and events; "
                "further failures are only counted",
                type(self).__name__,
                kind,
            )

    def _event(self, event: Event, tally: Counter[str]) -> Event:
        before = tally.total()
        name = self._redactor.text(event.name, tally)
        attributes = self._member_attributes(event.attributes, tally)
        if tally.total() == before and attributes is event.attributes:
            return event
        return Event(name=name, attributes=attributes, timestamp=event.timestamp)

    def _link(self, link: SpanLink, tally: Counter[str]) -> SpanLink:
        before = tally.total()
        attributes = self._member_attributes(link.attributes, tally)
        context = self._context(link.context, tally)
        if tally.total() == before and attributes is link.attributes:
            return link
        return SpanLink(context or link.context, attributes)

    def _member_attributes(
        self, recorded: Mapping[str, Any] | None, tally: Counter[str]
    ) -> Mapping[str, Any] | None:
        """Return the redacted attributes of an event or a link: the same object if nothing changed."""
        lengths = self._lengths_of_members
        before = tally.total()
        safe = self._redactor.attributes(lengths.redacted_ends(recorded, tally), tally)
        cut = lengths.cut(safe, recorded)
        return cut or (recorded if tally.total() == before else safe)

    def _context(self, context: SpanContext | None, tally: Counter[str]) -> SpanContext | None:
        """Return a span's ids without the members of its tracestate that hold a secret."""
        state = context.trace_state if context is not None else None
        if not state:
            return context
        before = tally.total()
        members = [(name, value, f"{name}={value}") for name, value in state.items()]
        safe = [
            (name, value) for name, value, member in members if self._redactor.text(member, tally) == member
        ]
        return context if tally.total() == before else _with_state(context, TraceState(safe))

    def _status(self, status: Status, tally: Counter[str]) -> Status:
        if not status.description:
            return status
        before = tally.total()
        description = self._redactor.text(status.description, tally)
        return status if tally.total() == before else Status(status.status_code, description)


def report(findings: Counter[str], attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes with the number of redacted values and the rules, in this pass and earlier ones."""
    counts = Counter(findings)
    before = attributes.get(semconv.REDACTED_RULES)
    for entry in before if isinstance(before, (list, tuple)) else ():
        rule, _, count = str(entry).partition(":")
        if count.isdecimal():
            counts[rule] += int(count[:9])
    rules = tuple(f"{rule}:{counts[rule]}" for rule in sorted(counts))
    return {semconv.REDACTED: counts.total(), semconv.REDACTED_RULES: rules}


def _are_same(before: Sequence[object], after: Sequence[object]) -> bool:
    """Return whether two lists hold the same objects."""
    return all(map(operator.is_, before, after))


def _with_state(context: SpanContext | None, state: TraceState) -> SpanContext | None:
    if context is None:
        return None
    return SpanContext(context.trace_id, context.span_id, context.is_remote, context.trace_flags, state)


_MAX_SHARED: Final = 64
"""Resources and scopes whose redacted form is cached. A process has few."""

T = TypeVar("T")


class RedactedOrigins:
    """Redacts resources and instrumentation scopes, and caches the result.

    Args:
        redactor: The redactor.
    """

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._resources: _Shared[Resource] = _Shared()
        self._scopes: _Shared[InstrumentationScope] = _Shared()

    def resource(self, resource: Resource) -> Resource:
        """Return the resource, or a redacted copy."""
        known = self._resources.get(resource)
        if known is None:
            tally: Counter[str] = Counter()
            attributes = self._redactor.attributes(resource.attributes, tally)
            schema_url = self._redactor.text(resource.schema_url or "", tally)
            known = Resource(attributes, schema_url) if tally else resource
            self._resources.put(resource, known)
        return known

    def scope(self, scope: InstrumentationScope | None) -> InstrumentationScope | None:
        """Return the scope, or a redacted copy."""
        if scope is None:
            return None
        known = self._scopes.get(scope)
        if known is None:
            tally: Counter[str] = Counter()
            name = self._redactor.text(scope.name, tally)
            version = self._redactor.text(scope.version or "", tally)
            schema_url = self._redactor.text(scope.schema_url or "", tally)
            attributes = self._redactor.attributes(scope.attributes or {}, tally)
            known = InstrumentationScope(name, version, schema_url, attributes) if tally else scope
            self._scopes.put(scope, known)
        return known


class _Shared(Generic[T]):
    """A bounded cache, by identity, of the redacted form of objects that many spans share.

    It keeps the original alive, so that no other object can get its identity.
    """

    def __init__(self) -> None:
        self._entries: OrderedDict[int, tuple[T, T]] = OrderedDict()
        self._lock = ForkSafeLock()

    def get(self, original: T) -> T | None:
        entry = self._entries.get(id(original))
        return entry[1] if entry is not None and entry[0] is original else None

    def put(self, original: T, redacted: T) -> None:
        with self._lock:
            self._entries[id(original)] = (original, redacted)
            if len(self._entries) > _MAX_SHARED:
                self._entries.popitem(last=False)
