"""The only door out for spans: every part of a span passes the redactor before an exporter sees it."""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from typing import Final, Generic, TypeVar

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link as SpanLink
from opentelemetry.trace import Status

from mita_otel import semconv
from mita_otel.policy.redaction import RedactionPolicy
from mita_otel.processors.link import Link
from mita_otel.processors.rewrite import RewrittenSpan
from mita_otel.redaction import Redactor

_MAX_SHARED: Final = 64
"""Resources and scopes whose redacted form is remembered. A process has a handful."""

_WITHHELD_NAME: Final = "[redacted:error]"

T = TypeVar("T")


class RedactionProcessor(Link):
    """Passes on spans without the secrets in them.

    Looks at name, attributes, events, links, status description, resource and instrumentation scope. A
    span without a secret is passed on as it is; any other as a copy that says how many values were
    redacted (`mita.redacted`) and by which rules (`mita.redacted.rules`).

    Fails closed: of a span that could not be redacted only ids, times, kind and status code are passed on.

    Args:
        redaction: The policy's section, or a ready redactor.
        next_processor: What receives the spans.
    """

    def __init__(self, redaction: RedactionPolicy | Redactor, next_processor: SpanProcessor) -> None:
        super().__init__(next_processor)
        self._redactor = (
            redaction if isinstance(redaction, Redactor) else Redactor.from_environment(redaction)
        )
        self._resources: _Shared[Resource] = _Shared()
        self._scopes: _Shared[InstrumentationScope] = _Shared()

    def process(self, span: ReadableSpan) -> ReadableSpan | None:
        """Return the span, or a redacted copy of it."""
        redactor = self._redactor
        tally: Counter[str] = Counter()
        name = redactor.text(span.name, tally)
        attributes = redactor.attributes(span.attributes or {}, tally)
        events = [self._event(event, tally) for event in span.events]
        links = [self._link(link, tally) for link in span.links]
        status = self._status(span.status, tally)
        resource = self._resource(span.resource)
        scope = self._scope(span.instrumentation_scope)
        if not tally and resource is span.resource and scope is span.instrumentation_scope:
            return span
        if tally:
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
        )

    def _event(self, event: Event, tally: Counter[str]) -> Event:
        before = tally.total()
        name = self._redactor.text(event.name, tally)
        attributes = self._redactor.attributes(event.attributes or {}, tally)
        if tally.total() == before:
            return event
        return Event(name=name, attributes=attributes, timestamp=event.timestamp)

    def _link(self, link: SpanLink, tally: Counter[str]) -> SpanLink:
        before = tally.total()
        attributes = self._redactor.attributes(link.attributes or {}, tally)
        return link if tally.total() == before else SpanLink(link.context, attributes)

    def _status(self, status: Status, tally: Counter[str]) -> Status:
        if not status.description:
            return status
        before = tally.total()
        description = self._redactor.text(status.description, tally)
        return status if tally.total() == before else Status(status.status_code, description)

    def _resource(self, resource: Resource) -> Resource:
        known = self._resources.get(resource)
        if known is None:
            tally: Counter[str] = Counter()
            attributes = self._redactor.attributes(resource.attributes, tally)
            known = Resource(attributes, resource.schema_url) if tally else resource
            self._resources.put(resource, known)
        return known

    def _scope(self, scope: InstrumentationScope | None) -> InstrumentationScope | None:
        if scope is None:
            return None
        known = self._scopes.get(scope)
        if known is None:
            known = redacted_scope(self._redactor, scope)
            self._scopes.put(scope, known)
        return known


def redacted_scope(redactor: Redactor, scope: InstrumentationScope) -> InstrumentationScope:
    """Return the scope, or a copy without the secrets in it."""
    tally: Counter[str] = Counter()
    name = redactor.text(scope.name, tally)
    version = redactor.text(scope.version, tally) if scope.version else scope.version
    attributes = redactor.attributes(scope.attributes or {}, tally)
    return InstrumentationScope(name, version, scope.schema_url, attributes) if tally else scope


class _Shared(Generic[T]):
    """Remembers, by identity and with a bound, the redacted form of objects that many spans share.

    The original is kept alive beside it, so that its identity cannot be given to another object.
    """

    def __init__(self) -> None:
        self._entries: OrderedDict[int, tuple[T, T]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, original: T) -> T | None:
        entry = self._entries.get(id(original))
        return entry[1] if entry is not None and entry[0] is original else None

    def put(self, original: T, redacted: T) -> None:
        with self._lock:
            self._entries[id(original)] = (original, redacted)
            if len(self._entries) > _MAX_SHARED:
                self._entries.popitem(last=False)
