"""The tree of a trace, as rows to show: children under parents, by time, repetitions folded into one row."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from mita_otel.exporters.span_record import SpanRecord

FOLD_FROM = 4
"""So many equal siblings in a row are one row: a query in a loop is one finding, not a page."""


DEEPEST = 40
"""Levels that are indented; what is deeper stands in line with the last of them."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the picture: a span, or several of the same name next to each other."""

    spans: tuple[SpanRecord, ...]
    """The span; several if the row is folded."""
    last_of: tuple[bool, ...]
    """For the span and each of its ancestors, from the root down, whether it is its parent's last child."""
    has_children: bool

    @property
    def span(self) -> SpanRecord:
        """The span, or the first one."""
        return self.spans[0]

    @property
    def depth(self) -> int:
        """0 for a root."""
        return len(self.last_of) - 1

    @property
    def duration_ms(self) -> float:
        """Milliseconds, all spans of the row together."""
        return sum(span.duration_ms for span in self.spans)


def rows_of(spans: Iterable[SpanRecord]) -> Iterator[Row]:
    """Return the rows of one trace, from the top.

    A span whose parent is not there starts a tree of its own. Spans that are their own ancestors (which
    only a broken client sends) are shown as well.
    """
    known = {span.span_id: span for span in spans}
    children: dict[str | None, list[SpanRecord]] = defaultdict(list)
    for span in known.values():
        children[span.parent_span_id if span.parent_span_id in known else None].append(span)
    for siblings in children.values():
        siblings.sort(key=lambda span: (span.start_ns, span.end_ns))
    seen: set[str] = set()
    yield from _walk(children[None], children, seen)
    while circle := [span for span in known.values() if span.span_id not in seen]:
        first = min(circle, key=lambda span: span.start_ns)
        yield from _walk([first], children, seen)


def _walk(
    roots: Sequence[SpanRecord], children: dict[str | None, list[SpanRecord]], seen: set[str]
) -> Iterator[Row]:
    # A stack and no recursion: a trace may be deeper than Python's.
    stack: list[tuple[tuple[SpanRecord, ...], tuple[bool, ...]]] = [
        ((root,), (True,)) for root in roots[::-1]
    ]
    while stack:
        spans, last_of = stack.pop()
        if spans[0].span_id in seen:
            continue
        seen.update(span.span_id for span in spans)
        below = [child for child in children.get(spans[0].span_id, ()) if child.span_id not in seen]
        yield Row(spans, last_of, has_children=bool(below))
        groups = list(_folded(below, children))
        is_last = [position == len(groups) - 1 for position in range(len(groups))]
        stack.extend(
            (group, (*last_of[: DEEPEST - 1], last))
            for group, last in reversed(list(zip(groups, is_last, strict=True)))
        )


def _folded(
    siblings: Sequence[SpanRecord], children: dict[str | None, list[SpanRecord]]
) -> Iterator[tuple[SpanRecord, ...]]:
    def likeness(span: SpanRecord) -> tuple[object, ...]:
        remarkable = span.exceeded or span.failed or span.redacted or children.get(span.span_id)
        return (span.name, span.kind, span.span_id if remarkable else None)

    for _, run in groupby(siblings, likeness):
        same = tuple(run)
        if len(same) >= FOLD_FROM:
            yield same
        else:
            yield from ((span,) for span in same)
