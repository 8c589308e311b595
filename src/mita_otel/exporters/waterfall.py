"""A trace as a waterfall: a tree of spans, bars on a time axis, and under a span what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.cells import set_cell_size
from rich.console import Console, ConsoleOptions
from rich.text import Text

from mita_otel import semconv
from mita_otel.exporters.glyphs import ASCII, UNICODE, Glyphs, printable, styled
from mita_otel.exporters.span_notes import notes_of
from mita_otel.exporters.span_record import SpanRecord
from mita_otel.exporters.span_tree import Row, rows_of
from mita_otel.exporters.time_axis import TimeAxis, milliseconds

_TIME = 10
"""Columns of a duration: `12,345 ms`."""


class Waterfall:
    """A picture of one trace that rich can print. Never wider than the console, plain where that is plain.

    Args:
        spans: The spans of the trace, in any order.
        max_rows: Rows; the rest is counted.

    Example:
        `rich.console.Console().print(Waterfall(spans, max_rows=60))`
    """

    def __init__(self, spans: Sequence[SpanRecord], *, max_rows: int) -> None:
        self._spans = spans
        self._max_rows = max_rows

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        """Yield the lines."""
        if self._spans:
            glyphs = ASCII if options.ascii_only else UNICODE
            for line in _Picture(self._spans, self._max_rows, options.max_width, glyphs).lines():
                line.no_wrap, line.overflow, line.end = True, "crop", "\n"
                yield line


class _Picture:
    """The lines of a waterfall at a given width."""

    def __init__(self, spans: Sequence[SpanRecord], max_rows: int, width: int, glyphs: Glyphs) -> None:
        rows = list(rows_of(spans))
        self._rows, self._hidden = rows[:max_rows], rows[max_rows:]
        self._glyphs = glyphs
        self._width = width
        first, last = min(span.start_ns for span in spans), max(span.end_ns for span in spans)
        # The same for every trace, so that pictures under each other have one edge.
        self._label_width = max(16, width * 47 // 100)
        self._axis = TimeAxis(first, last, max(4, width - self._label_width - 2 - _TIME), glyphs)
        self._trace_id = spans[0].trace_id

    def lines(self) -> Iterator[Text]:
        head = styled(f"trace {self._trace_id}", "dim")
        is_line = len(self._rows) == 1 and not self._rows[0].span.exceeded
        if not is_line:
            yield self._columns(head, self._axis.scale())
        for row in self._rows:
            # One span needs no axis: its bar would always be full.
            middle = head if is_line else self._axis.bar(row)
            yield self._columns(self._titled(row), middle, milliseconds(row.duration_ms))
            for note in notes_of(row, self._glyphs):
                guide = self._guide(row, of_notes=True)
                line = styled(guide, "dim").append_text(note)
                yield _cut(line, self._width, self._glyphs)
        if self._hidden:
            yield _cut(styled(self._rest(), "dim"), self._width, self._glyphs)

    def _columns(self, label: Text, middle: Text, time: str = "") -> Text:
        bar_width = self._width - self._label_width - 2 - _TIME
        if not time:  # the scale may use the duration's columns
            bar_width += _TIME + 1
        line = _cut(label, self._label_width, self._glyphs, pad=True)
        line.append(" ").append_text(_cut(middle, bar_width, self._glyphs, pad=bool(time)))
        if time:
            line.append(" ").append(time.rjust(_TIME))
        line.rstrip()
        return line

    def _titled(self, row: Row) -> Text:
        """The label with its place in the tree; a long name is cut, what follows it is not."""
        guide = styled(self._guide(row), "dim")
        return guide.append_text(_label(row, self._glyphs, self._label_width - guide.cell_len))

    def _guide(self, row: Row, *, of_notes: bool = False) -> str:
        glyphs = self._glyphs
        guide = "".join(glyphs.gap if last else glyphs.pass_by for last in row.last_of[1:-1])
        if not of_notes:
            return guide + ((glyphs.last if row.last_of[-1] else glyphs.child) if row.depth else "")
        if row.depth:
            guide += glyphs.gap if row.last_of[-1] else glyphs.pass_by
        return guide + (glyphs.pass_by if row.has_children else glyphs.gap)

    def _rest(self) -> str:
        spans = [span for row in self._hidden for span in row.spans]
        wrong = [
            f"{count:,} {what}"
            for count, what in (
                (sum(span.exceeded for span in spans), "over the limit"),
                (sum(span.failed for span in spans), "failed"),
            )
            if count
        ]
        return f"{self._glyphs.ellipsis} {len(spans):,} more spans" + (
            f", {', '.join(wrong)}" if wrong else ""
        )


def _label(row: Row, glyphs: Glyphs, width: int | None = None) -> Text:
    """The span's name, and what belongs to it: how often, and the HTTP status."""
    span = row.span
    tail = Text()
    if len(row.spans) > 1:
        tail.append(f" {glyphs.times}{len(row.spans)}", "bold yellow")
    status = semconv.first(span.attributes, semconv.HTTP_STATUS_CODE) if span.kind == "SERVER" else None
    if status is not None:
        tail.append(f" {printable(str(status))}", _status_style(str(status)))
    style = "bold red" if span.failed else ("bold" if row.depth == 0 else "")
    name = styled(printable(span.name), style)
    if width is not None:
        name = _cut(name, max(1, width - tail.cell_len), glyphs)
    return name.append_text(tail)


def _status_style(status: str) -> str:
    return {"5": "bold red", "4": "yellow"}.get(status[:1], "green")


def _cut(text: Text, width: int, glyphs: Glyphs, *, pad: bool = False) -> Text:
    """Return a copy that takes `width` columns at most, exactly so many if padded."""
    kept = text.copy()
    if kept.cell_len > width:
        room = max(0, width - len(glyphs.ellipsis))
        plain = set_cell_size(kept.plain, room)
        # A wide character that does not fit leaves a space: cut the styled text at the same character.
        shared = next(
            (i for i, (a, b) in enumerate(zip(plain, kept.plain, strict=False)) if a != b), len(plain)
        )
        kept = kept[:shared].append(glyphs.ellipsis[:width], "dim")
    if pad:
        kept.append(" " * max(0, width - kept.cell_len))
    return kept
