"""Finished spans in, whole trees out: children wait for their local root, and none is lost.

A *local root* is where this process took over a trace: a SERVER or CONSUMER span, a span without a parent, or
one whose parent is remote. Spans end in any order, on any thread; a child may end after its root was sent.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from mita_otel import semconv

SpanKey = tuple[int, int]
"""Trace id and span id."""


@dataclass(slots=True)
class Tree:
    """A local root and everything below it that has ended."""

    root: ReadableSpan
    children: list[ReadableSpan] = field(default_factory=list)
    left_out: int = 0
    """Children that did not fit into one transaction."""
    orphan: bool = False
    """The root is no local root: its own was sent before, or was not seen to end."""


@dataclass(slots=True)
class _Waiting:
    since_s: float
    by_parent: dict[int, list[ReadableSpan]] = field(default_factory=lambda: defaultdict(list))
    count: int = 0


class Assembler:
    """Groups finished spans into trees. Not thread-safe: one thread feeds it.

    Args:
        max_waiting: Spans that may wait for their roots. Beyond that the oldest trace is let go.
        max_wait_s: Seconds a trace may wait for a root.
        clock: Monotonic seconds.
    """

    def __init__(self, *, max_waiting: int, max_wait_s: float, clock: Callable[[], float]) -> None:
        self._max_waiting = max_waiting
        self._max_wait_s = max_wait_s
        self._clock = clock
        self._traces: OrderedDict[int, _Waiting] = OrderedDict()
        self._sent: OrderedDict[SpanKey, None] = OrderedDict()
        self.waiting = 0
        """Spans that wait now."""

    def add(self, span: ReadableSpan) -> list[Tree]:
        """Take a finished span and return the trees that it completes."""
        context = span.context
        if context is None:
            return []
        if span.parent is None or is_local_root(span):
            return [self._grow(span)]
        if (context.trace_id, span.parent.span_id) in self._sent:
            return [self._grow(span, orphan=True)]
        trace = self._traces.get(context.trace_id)
        if trace is None:
            trace = self._traces[context.trace_id] = _Waiting(self._clock())
        trace.by_parent[span.parent.span_id].append(span)
        trace.count += 1
        self.waiting += 1
        released: list[Tree] = []
        while self.waiting > self._max_waiting:
            released.extend(self._release(next(iter(self._traces))))
        return released

    def overdue(self) -> list[Tree]:
        """Return what has waited too long, as trees of their own."""
        released: list[Tree] = []
        now = self._clock()
        while self._traces:
            trace_id, trace = next(iter(self._traces.items()))
            if now - trace.since_s < self._max_wait_s:
                break
            released.extend(self._release(trace_id))
        return released

    def drain(self) -> list[Tree]:
        """Return everything that waits, as trees of their own."""
        released: list[Tree] = []
        while self._traces:
            released.extend(self._release(next(iter(self._traces))))
        return released

    def clear(self) -> None:
        """Forget everything: after a fork it belongs to the parent."""
        self._traces.clear()
        self._sent.clear()
        self.waiting = 0

    def _grow(self, root: ReadableSpan, *, orphan: bool = False) -> Tree:
        """Return the tree of this root, with all of its descendants that wait."""
        tree = Tree(root, orphan=orphan)
        trace_id, span_id = _key(root)
        trace = self._traces.get(trace_id)
        self._remember((trace_id, span_id))
        parents = [span_id]
        while trace is not None and parents:
            for child in trace.by_parent.pop(parents.pop(), ()):
                tree.children.append(child)
                parents.append(_key(child)[1])
                self._remember(_key(child))
        if trace is not None:
            trace.count -= len(tree.children)
            self.waiting -= len(tree.children)
            if trace.count == 0:
                del self._traces[trace_id]
        return tree

    def _release(self, trace_id: int) -> Iterator[Tree]:
        """Let go of a trace: each span whose parent does not wait becomes a root."""
        trace = self._traces[trace_id]
        spans = [span for siblings in trace.by_parent.values() for span in siblings]
        ids = {span.context.span_id for span in spans if span.context}
        trees: list[Tree] = []
        for parent_id in [one for one in trace.by_parent if one not in ids]:
            siblings = trace.by_parent.pop(parent_id)
            trace.count -= len(siblings)
            self.waiting -= len(siblings)
            trees.extend(self._grow(span, orphan=True) for span in siblings)
        if self._traces.pop(trace_id, None) is not None:
            # A loop of parents cannot be grown from any root; nothing else is left here.
            self.waiting -= trace.count
            loops = [span for siblings in trace.by_parent.values() for span in siblings]
            trees.extend(Tree(span, orphan=True) for span in loops)
        yield from trees

    def _remember(self, key: SpanKey) -> None:
        self._sent[key] = None
        if len(self._sent) > self._max_waiting:
            self._sent.popitem(last=False)


def _key(span: ReadableSpan) -> SpanKey:
    return (span.context.trace_id, span.context.span_id) if span.context else (0, 0)


def is_local_root(span: ReadableSpan) -> bool:
    """Return whether this process took the trace over with this span."""
    return span.parent is None or span.parent.is_remote or span.kind in {SpanKind.SERVER, SpanKind.CONSUMER}


def trim(tree: Tree, max_spans: int) -> Tree:
    """Return the tree with at most `max_spans` children: breached and failed ones and their ancestors first,
    then the longest. `left_out` says how many did not fit.
    """  # noqa: D205 - one sentence
    if len(tree.children) <= max_spans:
        return tree
    by_id = {span.context.span_id: span for span in tree.children if span.context}
    kept: dict[int, ReadableSpan] = {}
    for span in sorted(tree.children, key=_rank):
        path: dict[int, ReadableSpan] = {}
        step: ReadableSpan | None = span
        while step is not None and step.context is not None and step.context.span_id not in kept:
            if step.context.span_id in path:
                break
            path[step.context.span_id] = step
            step = by_id.get(step.parent.span_id) if step.parent else None
        # With its ancestors or not at all: a span whose parent is missing would hang in the air.
        if len(kept) + len(path) <= max_spans:
            kept.update(path)
        if len(kept) == max_spans:
            break
    children = [span for span in tree.children if span.context and span.context.span_id in kept]
    return Tree(tree.root, children, tree.left_out + len(tree.children) - len(children), tree.orphan)


def _rank(span: ReadableSpan) -> tuple[int, int]:
    matters = is_breached(span) or span.status.status_code is StatusCode.ERROR
    return (0 if matters else 1, -((span.end_time or 0) - (span.start_time or 0)))


def is_breached(span: ReadableSpan) -> bool:
    """Return whether the span took longer than its limit."""
    return bool((span.attributes or {}).get(semconv.LATENCY_EXCEEDED))
