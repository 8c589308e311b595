"""Local roots: the requests and tasks that errors belong to."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan, Span
from opentelemetry.trace import SpanKind

from mita_otel import semconv
from mita_otel.processors.finished_spans import RewrittenSpan
from mita_otel.processors.queues.forks import ForkSafeLock
from mita_otel.sentry.mapping.span_tree import is_local_root, key_of


class ActiveRoots:
    """Remembers the newest local root of each trace; thread-safe.

    Args:
        max_traces: Maximum number of active traces. Beyond that the oldest is evicted.
        max_ended: Maximum number of traces whose root has ended. Errors of background work may still refer to them.
    """

    def __init__(self, max_traces: int, max_ended: int) -> None:
        self.max_traces = max_traces
        self._max_ended = max_ended
        self._lock = ForkSafeLock()
        self._roots: OrderedDict[int, ReadableSpan] = OrderedDict()
        self._ended: OrderedDict[int, ReadableSpan] = OrderedDict()

    def started(self, span: ReadableSpan) -> None:
        """Remember a span that has just started if it is a local root. An active SERVER span is not replaced."""
        if not is_local_root(span):
            return
        trace_id, _ = key_of(span)
        with self._lock:
            present = self._roots.get(trace_id)
            if present is not None and present.kind is SpanKind.SERVER and present.end_time is None:
                return
            self._ended.pop(trace_id, None)
            self._roots[trace_id] = span
            self._roots.move_to_end(trace_id)
            if len(self._roots) > self.max_traces:
                self._roots.popitem(last=False)

    def ended(self, span: ReadableSpan) -> None:
        """Keep a finished root for later errors, but without its events, because stack traces are large."""
        if not is_local_root(span):
            return
        trace_id, span_id = key_of(span)
        with self._lock:
            present = self._roots.get(trace_id)
            if present is None or key_of(present)[1] != span_id:
                return
            del self._roots[trace_id]
            self._ended[trace_id] = RewrittenSpan(span, events=(), links=()) if span.events else span
            if len(self._ended) > self._max_ended:
                self._ended.popitem(last=False)

    def failed(self, trace_id: int, event_id: str) -> None:
        """Mark the trace's root as reported, so that sampling keeps the trace of each issue."""
        root = self._roots.get(trace_id)
        if isinstance(root, Span) and root.is_recording() and semconv.EVENT_ID not in (root.attributes or {}):
            root.set_attribute(semconv.EVENT_ID, event_id)

    def root_of(self, trace_id: int) -> ReadableSpan | None:
        """Return the trace's local root, which may have ended, or None."""
        return self._roots.get(trace_id) or self._ended.get(trace_id)

    def attributes_of(self, trace_id: int) -> Mapping[str, Any]:
        """Return the current attributes of the root, or an empty mapping if the root is unknown."""
        root = self.root_of(trace_id)
        return dict(root.attributes or {}) if root is not None else {}
