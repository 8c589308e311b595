"""Counts a statement once where SQLAlchemy and its driver are both instrumented and each makes a span of it."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from typing import Final, NamedTuple

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor

from mita_otel import semconv
from mita_otel.latency.facts import CACHES
from mita_otel.latency.repeats import shape_of
from mita_otel.processors.finished_spans import RewrittenSpan
from mita_otel.processors.link import Link
from mita_otel.processors.queues.forks import after_fork_in_child

_MAX_SHAPES: Final = 512
_MAX_SPANS: Final = 32
"""Finished spans of one statement that a span of an outer layer can contain: those of concurrent requests."""


class _Measured(NamedTuple):
    """A finished span of a statement."""

    scope: str
    start_ns: int
    end_ns: int
    parent_id: int


class StatementLayers(Link):
    """Marks the outer one of two spans of the same statement with `mita.db.measured_by`. Marked spans are not counted.

    The driver's span ends first, within the other one, and has the same statement and another instrumentation. It need not be a
    child of the other one: neither of the instrumentations of SQLAlchemy makes its span the current one, and drivers with
    separate threads lose the context.
    """

    def __init__(self, next_processor: SpanProcessor) -> None:
        super().__init__(next_processor)
        self._reset()
        after_fork_in_child(self._reset)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._recent: OrderedDict[str, deque[_Measured]] = OrderedDict()

    def process(self, span: ReadableSpan) -> ReadableSpan | None:
        """Return the span, marked if a span of the same statement was counted before."""
        attributes = span.attributes or {}
        statement = semconv.first(attributes, semconv.DB_STATEMENT)
        system = semconv.first(attributes, semconv.DB_SYSTEM)
        if not statement or system is None or str(system) in CACHES:
            return span
        if span.start_time is None or span.end_time is None:
            return span
        scope = span.instrumentation_scope.name if span.instrumentation_scope is not None else ""
        parent_id = span.parent.span_id if span.parent is not None else 0
        this = _Measured(scope, span.start_time, span.end_time, parent_id)
        with self._lock:
            inner = self._take_inner(shape_of(str(statement)) or str(statement), this)
        if inner is None:
            return span
        return RewrittenSpan(span, attributes={**attributes, semconv.DB_MEASURED_BY: inner.scope})

    def _take_inner(self, shape: str, this: _Measured) -> _Measured | None:
        """Return the span of the same statement that this one contains, and forget it; or remember this one."""
        recent = self._recent.get(shape)
        if recent is None:
            recent = self._recent[shape] = deque(maxlen=_MAX_SPANS)
            if len(self._recent) > _MAX_SHAPES:
                self._recent.popitem(last=False)
        else:
            self._recent.move_to_end(shape)
        inside = [one for one in recent if _contains(this, one)]
        if not inside:
            recent.append(this)
            return None
        inner = max(inside, key=lambda one: (one.parent_id == this.parent_id, one.end_ns))
        recent.remove(inner)
        return inner


def _contains(outer: _Measured, inner: _Measured) -> bool:
    """Return whether a span was made within another one by another instrumentation."""
    return (
        outer.scope != inner.scope
        and outer.start_ns <= inner.start_ns
        and inner.end_ns <= outer.end_ns
        and (outer.start_ns, outer.end_ns) != (inner.start_ns, inner.end_ns)
    )
