"""Breadcrumbs of an error: log records of its trace, span events, queries and outgoing requests.

sentry-sdk keeps breadcrumbs in a scope, which mixes concurrent requests unless each request has a separate scope. This
module keeps breadcrumbs by trace id.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Final, Generic, TypeVar

from opentelemetry import trace
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from mita_otel import semconv
from mita_otel.processors.queues.export_queue import FanOut
from mita_otel.processors.queues.forks import ForkSafeLock
from mita_otel.processors.redaction import RedactionProcessor
from mita_otel.redaction import Redactor
from mita_otel.sentry.active_roots import ActiveRoots
from mita_otel.sentry.mapping.attribute_values import json_value, seconds
from mita_otel.sentry.mapping.description import describe
from mita_otel.sentry.mapping.span_tree import is_local_root, key_of

T = TypeVar("T")


class NewestByTrace(Generic[T]):
    """Keeps the newest items of the newest traces; thread-safe.

    Args:
        max_traces: Maximum number of traces.
        max_each: Maximum number of items of one trace.
    """

    def __init__(self, max_traces: int, max_each: int) -> None:
        self._max_traces = max_traces
        self._max_each = max_each
        self._lock = ForkSafeLock()
        self._traces: OrderedDict[int, deque[T]] = OrderedDict()

    def add(self, trace_id: int, one: T) -> None:
        """Keep an item, unless it belongs to no trace (id 0)."""
        if not trace_id:
            return
        with self._lock:
            kept = self._traces.get(trace_id)
            if kept is None:
                kept = self._traces[trace_id] = deque(maxlen=self._max_each)
                if len(self._traces) > self._max_traces:
                    self._traces.popitem(last=False)
            kept.append(one)

    def of(self, trace_id: int) -> list[T]:
        """Return the items of a trace, oldest first."""
        with self._lock:
            return list(self._traces.get(trace_id, ()))

    def forget(self, trace_id: int) -> None:
        """Discard the items of a trace."""
        with self._lock:
            self._traces.pop(trace_id, None)


Breadcrumb = dict[str, Any]

_ISSUES: Final = frozenset({semconv.EXCEPTION_EVENT, semconv.ERROR_EVENT})


class Breadcrumbs(NewestByTrace[Breadcrumb]):
    """Keeps the newest breadcrumbs of the newest traces; thread-safe."""


def of_events(events: Iterable[Event]) -> list[Breadcrumb]:
    """Return the events of a span as breadcrumbs. Exceptions and errors are omitted, because they become issues."""
    return [_of_event(event) for event in events if event.name not in _ISSUES]


def _of_event(event: Event) -> Breadcrumb:
    attributes = {str(name): json_value(value) for name, value in (event.attributes or {}).items()}
    own = f"{semconv.BREADCRUMB_EVENT}."
    data = {name.removeprefix(f"{own}data."): value for name, value in attributes.items()}
    crumb = {
        "type": "default",
        "category": data.pop(f"{own}category", event.name),
        "level": data.pop(f"{own}level", "info"),
        "message": data.pop(f"{own}message", event.name),
        "timestamp": seconds(event.timestamp),
    }
    return {**crumb, "data": data} if data else crumb


def time_of(breadcrumb: Any) -> float:
    """Return seconds since the epoch. The timestamp of a breadcrumb may be a number, text or a datetime."""
    timestamp = breadcrumb.get("timestamp") if isinstance(breadcrumb, dict) else None
    if isinstance(timestamp, int | float):
        return float(timestamp)
    try:
        parsed = timestamp if isinstance(timestamp, datetime) else datetime.fromisoformat(str(timestamp))
    except ValueError:
        return 0.0
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()


_STEPS: Final = frozenset({SpanKind.CLIENT, SpanKind.PRODUCER})
_CATEGORIES: Final = {"db": "query", "http.client": "http"}
"""sentry-sdk's breadcrumb category by operation. Other operations are used as the category."""


class Steps:
    """Remembers the newest queries and outgoing requests of each active trace; thread-safe.

    A step is kept as a span. It is redacted and converted to a breadcrumb only when an error occurs.

    Args:
        roots: The active requests and tasks. Only their steps are kept.
        redactor: Redacts each step.
        max_traces: Maximum number of traces.
        max_steps: Maximum number of steps of one trace.
    """

    def __init__(self, roots: ActiveRoots, redactor: Redactor, *, max_traces: int, max_steps: int) -> None:
        self._roots = roots
        self._redaction = RedactionProcessor(redactor, FanOut())
        self._kept: NewestByTrace[ReadableSpan] = NewestByTrace(max_traces, max_steps)

    def ended(self, span: ReadableSpan) -> None:
        """Keep a finished span if it is a step. If it is the root, discard the steps of its trace."""
        trace_id, _ = key_of(span)
        if is_local_root(span):
            root = self._roots.root_of(trace_id)
            if root is None or root.end_time is not None:
                self._kept.forget(trace_id)
        elif span.kind in _STEPS:
            root = self._roots.root_of(trace_id)
            if root is not None and root.end_time is None:
                self._kept.add(trace_id, span)

    def of(self, trace_id: int) -> list[ReadableSpan]:
        """Return the trace's steps, ordered by end time. They are not redacted."""
        return self._kept.of(trace_id)

    def redacted(self, steps: Iterable[ReadableSpan]) -> list[Breadcrumb]:
        """Return steps as redacted breadcrumbs."""
        safe = map(self._redaction.processed, steps)
        return [_crumb(step) for step in safe if step is not None]


def _crumb(span: ReadableSpan) -> Breadcrumb:
    described = describe(span)
    attributes = span.attributes or {}
    category = _CATEGORIES.get(described.op, described.op)
    facts: dict[str, Any] = {
        "duration_ms": round(((span.end_time or 0) - (span.start_time or 0)) / 1e6, 3),
        "status": described.status,
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
        "message": described.description,
        "timestamp": seconds(span.end_time),
        "data": {name: value for name, value in facts.items() if value is not None},
    }


class LogBreadcrumbs:
    """A `before_breadcrumb` hook for sentry-sdk: keeps breadcrumbs of log records by trace instead of in a scope.

    Args:
        breadcrumbs: The store for breadcrumbs.
        then: The service's hook, which is called first.
    """

    def __init__(
        self, breadcrumbs: Breadcrumbs, then: Callable[[Any, dict[str, Any]], Any] | None = None
    ) -> None:
        self._breadcrumbs = breadcrumbs
        self._then = then

    def __call__(self, crumb: Any, hint: dict[str, Any]) -> Any:
        """Return the breadcrumb, unless it is of a log record: then keep it by trace and return None."""
        kept = crumb if self._then is None else self._then(crumb, hint)
        if kept is None or "log_record" not in hint:
            return kept
        trace_id = trace.get_current_span().get_span_context().trace_id
        if trace_id:
            self._breadcrumbs.add(trace_id, _encodable(kept))
        crumb.clear()  # in debug mode, sentry-sdk writes a dropped breadcrumb to standard error
        return None


def _encodable(crumb: Any) -> Breadcrumb:
    kept = {name: value for name, value in crumb.items() if name != "data" or value}
    timestamp = kept.get("timestamp")
    if isinstance(timestamp, datetime):
        kept["timestamp"] = timestamp.isoformat()
    return kept
