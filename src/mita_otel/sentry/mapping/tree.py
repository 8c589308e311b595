"""A local root and what is below it; what fits into one transaction."""

from __future__ import annotations

from dataclasses import dataclass, field

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from mita_otel import semconv

SpanKey = tuple[int, int]
"""Trace id and span id."""


@dataclass(slots=True)
class Tree:
    """A local root and everything below it that has ended.

    A *local root* is where this process took over a trace: a SERVER or CONSUMER span, a span without a parent,
    or one whose parent is remote.
    """

    root: ReadableSpan
    children: list[ReadableSpan] = field(default_factory=list)
    left_out: int = 0
    """Children that did not fit into one transaction."""
    orphan: bool = False
    """The root is no local root: its own was sent before, or was not seen to end."""

    @property
    def matters(self) -> bool:
        """Whether something broke a limit or failed."""
        return matters(self.root) or any(matters(child) for child in self.children)


def key_of(span: ReadableSpan) -> SpanKey:
    """Return the span's key; zeros if it has no context."""
    return (span.context.trace_id, span.context.span_id) if span.context else (0, 0)


def is_local_root(span: ReadableSpan) -> bool:
    """Return whether this process took the trace over with this span."""
    return span.parent is None or span.parent.is_remote or span.kind in {SpanKind.SERVER, SpanKind.CONSUMER}


def is_breached(span: ReadableSpan) -> bool:
    """Return whether the span took longer than its limit, or a statement ran too often under it."""
    attributes = span.attributes or {}
    return bool(attributes.get(semconv.LATENCY_EXCEEDED)) or semconv.REPEATED_QUERIES in attributes


def matters(span: ReadableSpan) -> bool:
    """Return whether the span broke a limit or failed."""
    return is_breached(span) or span.status.status_code is StatusCode.ERROR


def trim(tree: Tree, max_spans: int) -> Tree:
    """Return the tree with at most `max_spans` children; `left_out` says how many did not fit.

    Breached and failed ones come first, each with its ancestors, then the longest. A span whose parent does not
    fit is left out: it would hang in the air.
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
