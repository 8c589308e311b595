"""Groups finished spans into trees below their local root, and trims a tree to the size of one transaction.

Spans end in any order and on any thread. A child may end after its root was sent.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from mita_otel import semconv
from mita_otel.processors.finished_spans import estimated_bytes

SpanKey = tuple[int, int]
"""Trace id and span id."""


@dataclass(slots=True)
class Tree:
    """A local root and its finished descendants.

    A *local root* is the first span of a trace in this process: a SERVER or CONSUMER span, a span without a parent,
    or a span whose parent is remote.
    """

    root: ReadableSpan
    children: list[ReadableSpan] = field(default_factory=list)
    left_out: int = 0
    """Number of children that did not fit into one transaction."""
    orphan: bool = False
    """Whether the root is not a local root. Its local root was sent before, or has not ended in time."""

    @property
    def matters(self) -> bool:
        """Whether a span exceeded a limit or failed."""
        return matters(self.root) or any(matters(child) for child in self.children)


def key_of(span: ReadableSpan) -> SpanKey:
    """Return the span's key, or zeros if the span has no context."""
    return (span.context.trace_id, span.context.span_id) if span.context else (0, 0)


def is_local_root(span: ReadableSpan) -> bool:
    """Return whether the span is a local root (see `Tree`)."""
    return span.parent is None or span.parent.is_remote or span.kind in {SpanKind.SERVER, SpanKind.CONSUMER}


def is_breached(span: ReadableSpan) -> bool:
    """Return whether the span exceeded its latency limit, or a statement ran too often below it."""
    attributes = span.attributes or {}
    return bool(attributes.get(semconv.LATENCY_EXCEEDED)) or semconv.REPEATED_QUERIES in attributes


def matters(span: ReadableSpan) -> bool:
    """Return whether the span exceeded a limit or failed."""
    return is_breached(span) or span.status.status_code is StatusCode.ERROR


def trim(tree: Tree, max_spans: int) -> Tree:
    """Return the tree with at most `max_spans` children. `left_out` is the number of children that did not fit.

    Breached and failed spans are kept first, with their ancestors, then the longest spans. A span is omitted if its
    parent does not fit.
    """
    if len(tree.children) <= max_spans:
        return tree
    by_id = {key_of(span)[1]: span for span in tree.children}
    kept: set[int] = set()
    for span in sorted(tree.children, key=_rank):
        path = _path(span, by_id, kept)
        if len(kept) + len(path) <= max_spans:
            kept.update(path)
        if len(kept) == max_spans:
            break
    children = [span for span in tree.children if key_of(span)[1] in kept]
    return Tree(tree.root, children, tree.left_out + len(tree.children) - len(children), tree.orphan)


def _path(span: ReadableSpan, by_id: dict[int, ReadableSpan], kept: set[int]) -> set[int]:
    """Return the ids of the span and of its ancestors that are not kept yet."""
    path: set[int] = set()
    step: ReadableSpan | None = span
    while step is not None and (span_id := key_of(step)[1]) not in kept and span_id not in path:
        path.add(span_id)
        step = by_id.get(step.parent.span_id) if step.parent else None
    return path


def _rank(span: ReadableSpan) -> tuple[int, int]:
    return (0 if matters(span) else 1, (span.start_time or 0) - (span.end_time or 0))


@dataclass(slots=True)
class _Waiting:
    """The waiting spans of one trace."""

    since_s: float
    by_parent: dict[int, list[ReadableSpan]] = field(default_factory=lambda: defaultdict(list))
    count: int = 0


class Assembler:
    """Groups finished spans into trees. Not thread-safe: callers must hold a lock.

    Args:
        max_waiting: Maximum number of spans that wait for their roots. Beyond that, the oldest trace is released.
        max_bytes: Maximum estimated size of the waiting spans. Beyond that, the oldest trace is released.
        max_wait_s: Maximum seconds that a trace waits for a root.
        clock: Monotonic seconds.
    """

    def __init__(
        self, *, max_waiting: int, max_bytes: float, max_wait_s: float, clock: Callable[[], float]
    ) -> None:
        self._max_waiting = max_waiting
        self._max_bytes = max_bytes
        self._max_wait_s = max_wait_s
        self._clock = clock
        self._traces: OrderedDict[int, _Waiting] = OrderedDict()
        self._sent: OrderedDict[SpanKey, None] = OrderedDict()
        self.waiting = 0
        """Number of waiting spans."""
        self.waiting_bytes = 0
        """Estimated size of the waiting spans."""

    def add(self, span: ReadableSpan) -> list[Tree]:
        """Add a finished span and return the trees that it completes."""
        if span.parent is None or is_local_root(span):
            return [self._grow(span)]
        trace_id, _ = key_of(span)
        if (trace_id, span.parent.span_id) in self._sent:
            return [self._grow(span, orphan=True)]
        trace = self._traces.get(trace_id)
        if trace is None:
            trace = self._traces[trace_id] = _Waiting(self._clock())
        trace.by_parent[span.parent.span_id].append(span)
        trace.count += 1
        self.waiting += 1
        self.waiting_bytes += estimated_bytes(span)
        released: list[Tree] = []
        while self._traces and (self.waiting > self._max_waiting or self.waiting_bytes > self._max_bytes):
            released.extend(self._release(next(iter(self._traces))))
        return released

    def overdue(self) -> list[Tree]:
        """Return spans that have waited too long, as orphan trees."""
        released: list[Tree] = []
        now = self._clock()
        while self._traces:
            trace_id, trace = next(iter(self._traces.items()))
            if now - trace.since_s < self._max_wait_s:
                break
            released.extend(self._release(trace_id))
        return released

    def drain(self) -> list[Tree]:
        """Return all waiting spans, as orphan trees."""
        released: list[Tree] = []
        while self._traces:
            released.extend(self._release(next(iter(self._traces))))
        return released

    def clear(self) -> None:
        """Discard all spans. After a fork the parent sends them."""
        self._traces.clear()
        self._sent.clear()
        self.waiting = self.waiting_bytes = 0

    def _grow(self, root: ReadableSpan, *, orphan: bool = False) -> Tree:
        """Return the tree of this root with all of its waiting descendants."""
        tree = Tree(root, orphan=orphan)
        trace_id, span_id = key_of(root)
        trace = self._traces.get(trace_id)
        self._remember((trace_id, span_id))
        parents = [span_id]
        while trace is not None and parents:
            for child in self._take(trace, parents.pop()):
                tree.children.append(child)
                parents.append(key_of(child)[1])
                self._remember(key_of(child))
        if trace is not None and trace.count == 0:
            del self._traces[trace_id]
        return tree

    def _release(self, trace_id: int) -> list[Tree]:
        """Release a trace. Each span whose parent is not waiting becomes a root."""
        trace = self._traces[trace_id]
        ids = {key_of(span)[1] for siblings in trace.by_parent.values() for span in siblings}
        trees = [
            self._grow(span, orphan=True)
            for parent_id in [one for one in trace.by_parent if one not in ids]
            for span in self._take(trace, parent_id)
        ]
        # A cycle of parents, which no SDK creates, is not reachable from any root.
        for parent_id in list(trace.by_parent):
            trees.extend(Tree(span, orphan=True) for span in self._take(trace, parent_id))
        self._traces.pop(trace_id, None)
        return trees

    def _take(self, trace: _Waiting, parent_id: int) -> list[ReadableSpan]:
        siblings = trace.by_parent.pop(parent_id, [])
        trace.count -= len(siblings)
        self.waiting -= len(siblings)
        self.waiting_bytes -= sum(estimated_bytes(span) for span in siblings)
        return siblings

    def _remember(self, key: SpanKey) -> None:
        self._sent[key] = None
        if len(self._sent) > self._max_waiting:
            self._sent.popitem(last=False)
