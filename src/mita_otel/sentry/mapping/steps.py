"""Queries and outgoing requests as breadcrumbs: what a request had done when its error happened."""

from __future__ import annotations

from typing import Any, Final

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from mita_otel import semconv
from mita_otel.processors.queues.export_queue import FanOut
from mita_otel.processors.redaction import RedactionProcessor
from mita_otel.redaction import Redactor
from mita_otel.sentry.live_roots import LiveRoots
from mita_otel.sentry.mapping.breadcrumbs import Breadcrumb
from mita_otel.sentry.mapping.description import describe
from mita_otel.sentry.mapping.newest_by_trace import NewestByTrace
from mita_otel.sentry.mapping.plain import seconds
from mita_otel.sentry.mapping.tree import is_local_root, key_of

_STEPS: Final = frozenset({SpanKind.CLIENT, SpanKind.PRODUCER})
_CATEGORIES: Final = {"db": "query", "http.client": "http"}
"""Category by operation, as sentry-sdk names them; any other operation is its own category."""


class Steps:
    """Remembers the newest steps of each trace that is under way; thread-safe.

    A step is kept as the span that it is: only an error that happens makes a breadcrumb of it, redacted.

    Args:
        roots: The requests that are under way. Only their steps are kept.
        redactor: Takes the secrets out.
        max_traces: Traces that are remembered.
        max_steps: Steps of one trace.
    """

    def __init__(self, roots: LiveRoots, redactor: Redactor, *, max_traces: int, max_steps: int) -> None:
        self._roots = roots
        self._redaction = RedactionProcessor(redactor, FanOut())
        self._kept: NewestByTrace[ReadableSpan] = NewestByTrace(max_traces, max_steps)

    def ended(self, span: ReadableSpan) -> None:
        """Take notice of a finished span: a step of its trace, or the end of all steps."""
        trace_id, _ = key_of(span)
        if is_local_root(span):
            root = self._roots.root_of(trace_id)
            if root is None or root.end_time is not None:
                self._kept.forget(trace_id)
        elif span.kind in _STEPS:
            root = self._roots.root_of(trace_id)
            if root is not None and root.end_time is None:
                self._kept.add(trace_id, span)

    def of(self, trace_id: int) -> list[Breadcrumb]:
        """Return the trace's steps as breadcrumbs, redacted, in the order in which they ended."""
        steps = map(self._redaction.processed, self._kept.of(trace_id))
        return [_crumb(safe) for safe in steps if safe is not None]


def _crumb(span: ReadableSpan) -> Breadcrumb:
    said = describe(span)
    attributes = span.attributes or {}
    category = _CATEGORIES.get(said.op, said.op)
    facts: dict[str, Any] = {
        "duration_ms": round(((span.end_time or 0) - (span.start_time or 0)) / 1e6, 3),
        "status": said.status,
        "span_id": f"{key_of(span)[1]:016x}",
    }
    if category == "http":
        facts["method"] = semconv.first(attributes, semconv.HTTP_METHOD)
        facts["url"] = semconv.first(attributes, semconv.HTTP_URL)
        facts["status_code"] = semconv.first(attributes, semconv.HTTP_STATUS_CODE)
    return {
        "type": {"query": "query", "http": "http"}.get(category, "default"),
        "category": category,
        "level": "error" if span.status.status_code is StatusCode.ERROR else "info",
        "message": said.description,
        "timestamp": seconds(span.end_time),
        "data": {name: value for name, value in facts.items() if value is not None},
    }
