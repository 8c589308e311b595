"""The only door out for spans: every part of a span passes the redactor before an exporter sees it."""

from __future__ import annotations

import logging
import sys
from collections import Counter
from typing import Final

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link as SpanLink
from opentelemetry.trace import SpanContext, Status, TraceState

from mita_otel import semconv
from mita_otel.policy.redaction import RedactionPolicy
from mita_otel.processors.link import Link
from mita_otel.processors.redacted_origins import RedactedOrigins
from mita_otel.processors.rewrite import RewrittenSpan
from mita_otel.processors.torn_ends import TornEnds
from mita_otel.redaction import Redactor

_logger = logging.getLogger("mita_otel")

_WITHHELD_NAME: Final = "[redacted:error]"


class RedactionProcessor(Link):
    """Passes on spans without the secrets in them.

    Looks at name, attributes, events, links, status description, resource, instrumentation scope and what callers
    put into the tracestate. A span without a secret is passed on as it is; any other as a copy that says how many values were
    redacted (`mita.redacted`) and by which rules (`mita.redacted.rules`).

    Fails closed: of a span that could not be redacted only ids, times, kind and status code are passed on.

    Args:
        redaction: The policy's section, or a ready redactor.
        next_processor: What receives the spans.
    """

    def __init__(self, redaction: RedactionPolicy | Redactor, next_processor: SpanProcessor) -> None:
        super().__init__(next_processor)
        self._redactor = redaction if isinstance(redaction, Redactor) else Redactor(redaction)
        self._origins = RedactedOrigins(self._redactor)
        self._torn = TornEnds.of_spans()
        self.redacted: Counter[str] = Counter()
        """Values that were redacted so far, by rule."""

    def process(self, span: ReadableSpan) -> ReadableSpan | None:
        """Return the span, or a redacted copy of it."""
        redactor = self._redactor
        tally: Counter[str] = Counter()
        name = redactor.text(span.name, tally)
        attributes = redactor.attributes(self._torn.hidden(span.attributes, tally), tally)
        events = [self._event(event, tally) for event in span.events]
        links = [self._link(link, tally) for link in span.links]
        status = self._status(span.status, tally)
        context = self._context(span.context, tally)
        resource = self._origins.resource(span.resource)
        scope = self._origins.scope(span.instrumentation_scope)
        if not tally and resource is span.resource and scope is span.instrumentation_scope:
            return span
        if tally:
            self.redacted.update(tally)
            attributes[semconv.REDACTED] = tally.total()
            attributes[semconv.REDACTED_RULES] = tuple(f"{rule}:{tally[rule]}" for rule in sorted(tally))
        return RewrittenSpan(
            span,
            name=name,
            attributes=attributes,
            events=events,
            links=links,
            status=status,
            resource=resource,
            scope=scope,
            context=context,
        )

    def salvage(self, span: ReadableSpan) -> ReadableSpan | None:
        """Return what is safe without looking: ids, times, kind, status code, and a mark that says so."""
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
        """Count, and report the first without the exception's text, which may quote what it choked on."""
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
        attributes = self._redactor.attributes(self._torn.hidden(event.attributes, tally), tally)
        if tally.total() == before:
            return event
        return Event(name=name, attributes=attributes, timestamp=event.timestamp)

    def _link(self, link: SpanLink, tally: Counter[str]) -> SpanLink:
        before = tally.total()
        attributes = self._redactor.attributes(self._torn.hidden(link.attributes, tally), tally)
        context = self._context(link.context, tally)
        return link if tally.total() == before else SpanLink(context or link.context, attributes)

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


def _with_state(context: SpanContext | None, state: TraceState) -> SpanContext | None:
    if context is None:
        return None
    return SpanContext(context.trace_id, context.span_id, context.is_remote, context.trace_flags, state)
