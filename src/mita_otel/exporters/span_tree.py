"""The tree of a trace as rows: children below parents, ordered by time, with repetitions folded into one row."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from typing import Any

from mita_otel import semconv
from mita_otel.exporters.span_record import SpanRecord
from mita_otel.exporters.styled_text import Glyphs, StyledText, printable
from mita_otel.redaction import MARKER

FOLD_FROM = 4
"""Number of consecutive equal siblings from which they are folded into one row, as for a query in a loop."""


MAX_DEPTH = 40
"""Maximum indentation. Deeper levels are indented like the last one."""


@dataclass(frozen=True, slots=True)
class WaterfallRow:
    """A row of the waterfall: a span, or several consecutive spans of the same name."""

    spans: tuple[SpanRecord, ...]
    """The span; several if the row is folded."""
    last_of: tuple[bool, ...]
    """For the span and each of its ancestors, from the root down, whether it is its parent's last child."""
    has_children: bool

    @property
    def span(self) -> SpanRecord:
        """The first span."""
        return self.spans[0]

    @property
    def depth(self) -> int:
        """0 for a root."""
        return len(self.last_of) - 1

    @property
    def duration_ms(self) -> float:
        """Total of all spans of the row, in milliseconds."""
        return sum(span.duration_ms for span in self.spans)


def rows_of(spans: Iterable[SpanRecord]) -> Iterator[WaterfallRow]:
    """Return the rows of one trace, from the top.

    A span whose parent is missing starts a separate tree. Cycles of spans, which only a broken client sends, are shown
    as well.
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
) -> Iterator[WaterfallRow]:
    # A stack, since a trace can be deeper than Python's recursion limit.
    stack: list[tuple[tuple[SpanRecord, ...], tuple[bool, ...]]] = [
        ((root,), (True,)) for root in roots[::-1]
    ]
    while stack:
        spans, last_of = stack.pop()
        if spans[0].span_id in seen:
            continue
        seen.update(span.span_id for span in spans)
        below = [child for child in children.get(spans[0].span_id, ()) if child.span_id not in seen]
        yield WaterfallRow(spans, last_of, has_children=bool(below))
        groups = list(_folded(below, children))
        is_last = [position == len(groups) - 1 for position in range(len(groups))]
        stack.extend(
            (group, (*last_of[: MAX_DEPTH - 1], last))
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


_EXCERPTS = 3
"""Maximum number of redacted values that are quoted below a span."""
_BEFORE = 24
"""Characters of a long value that are quoted before its first redaction."""

_REDACTED = "bold magenta"


def notes_of(row: WaterfallRow, glyphs: Glyphs) -> Iterator[StyledText]:
    """Return the notes of a row. A folded row has no notes, since only spans without notes are folded."""
    if len(row.spans) > 1:
        return
    span = row.span
    statement = semconv.first(span.attributes, semconv.DB_STATEMENT)
    if span.exceeded:
        yield _breach(span, glyphs)
    if semconv.REPEATED_QUERIES in span.attributes:
        yield from _repeats(span, glyphs)
    if span.failed:
        yield from _error(span, glyphs)
    if span.redacted:
        yield from _redactions(span, glyphs)
    # A question mark replaces each literal of a statement. It is not a marker, so the statement is not quoted above.
    remarkable = span.exceeded or span.failed or span.redacted
    if statement is not None and remarkable and not MARKER.search(str(statement)):
        yield StyledText(f"  {printable(str(statement))}", "dim")


def _breach(span: SpanRecord, glyphs: Glyphs) -> StyledText:
    limit_ms = float(span.attributes.get(semconv.LATENCY_LIMIT_MS) or 0)
    rule = printable(str(span.attributes.get(semconv.LATENCY_RULE, "")))
    took = next(
        text
        for digits in range(7)
        if (text := f"{span.duration_ms:,.{digits}f}") != f"{limit_ms:,.{digits}f}" or digits == 6
    )
    return StyledText(f"{glyphs.breach} {took} ms > {limit_ms:,g} ms", "bold red").append(f"  {rule}", "red")


def _repeats(span: SpanRecord, glyphs: Glyphs) -> Iterator[StyledText]:
    count, most = (
        span.attributes.get(name) for name in (semconv.REPEATED_QUERIES, semconv.REPEATED_QUERIES_MAX)
    )
    line = StyledText(
        f"{glyphs.breach} the same statement {printable(str(count))} times > {printable(str(most))}",
        "bold red",
    )
    yield line.append(f"  {semconv.REPEATED_QUERIES_RULE}", "red")
    yield StyledText(
        f"  {printable(str(span.attributes.get(semconv.REPEATED_QUERIES_STATEMENT, '')))}", "dim"
    )


def _error(span: SpanRecord, glyphs: Glyphs) -> Iterator[StyledText]:
    has_exception = False
    for event in span.events:
        if event.name == semconv.EXCEPTION_EVENT:
            has_exception = True
            kind = event.attributes.get(semconv.EXCEPTION_TYPE, "exception")
            message = event.attributes.get(semconv.EXCEPTION_MESSAGE)
            yield _error_line(glyphs, kind, message)
    if not has_exception:
        yield _error_line(glyphs, span.attributes.get(semconv.ERROR_TYPE, "error"), span.status_description)


def _error_line(glyphs: Glyphs, kind: Any, message: Any) -> StyledText:
    line = StyledText(f"{glyphs.failed} {printable(str(kind))}", "bold red")
    if message:
        line.append(": ", "red").append(marked(printable(str(message)), "red"))
    return line


def _redactions(span: SpanRecord, glyphs: Glyphs) -> Iterator[StyledText]:
    """Return the number of redacted values, and quote the first ones around their markers."""
    rules = span.attributes.get(semconv.REDACTED_RULES)
    names = (
        ", ".join(str(rule).rpartition(":")[0] for rule in rules) if isinstance(rules, list | tuple) else ""
    )
    line = StyledText(f"{glyphs.redacted} {span.redacted:,} redacted", _REDACTED)
    yield line.append(f"  {printable(names)}", "magenta")
    quotes = ((key, value) for key, value in _texts(span) if MARKER.search(value))
    for key, value in islice(quotes, _EXCERPTS):
        found = MARKER.search(value)
        start = max(0, found.start() - _BEFORE) if found else 0
        excerpt = (glyphs.ellipsis if start else "") + value[start:]
        yield StyledText(f"  {printable(key)}  ", "dim").append(marked(printable(excerpt), "dim"))


def _texts(span: SpanRecord) -> Iterator[tuple[str, str]]:
    for key, value in span.attributes.items():
        yield key, value if isinstance(value, str) else str(value)
    for event in span.events:
        # The message of an exception is shown above; its stack trace is too long to quote.
        if event.name != semconv.EXCEPTION_EVENT:
            for key, value in event.attributes.items():
                yield f"{event.name} {key}", str(value)


def marked(text: str, style: str) -> StyledText:
    """Return the text with each marker of a redaction highlighted."""
    line, end = StyledText(), 0
    for found in MARKER.finditer(text):
        line.append(text[end : found.start()], style).append(found[0], _REDACTED)
        end = found.end()
    return line.append(text[end:], style)
