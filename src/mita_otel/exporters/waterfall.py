"""Draws a trace as a waterfall: a tree of spans, bars on a time axis, and notes about breaches and errors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from mita_otel import semconv
from mita_otel.exporters.span_record import SpanRecord
from mita_otel.exporters.span_tree import WaterfallRow, notes_of, rows_of
from mita_otel.exporters.styled_text import ASCII, UNICODE, Glyphs, StyledText, printable

_OVER = "bold red"


class TimeAxis:
    """Maps times to columns, to half a column exactly.

    Args:
        first_ns: Start of the axis in nanoseconds.
        last_ns: End of the axis in nanoseconds.
        columns: Its width.
        glyphs: The characters for drawing.
    """

    def __init__(self, first_ns: int, last_ns: int, columns: int, glyphs: Glyphs) -> None:
        self._first_ns = first_ns
        self._span_ns = max(1, last_ns - first_ns)
        self._columns = columns
        self._glyphs = glyphs

    def scale(self) -> StyledText:
        """Return the scale: round numbers above their columns, the last one with the unit."""
        step = _round_step(self._span_ns / 1e6, self._columns // 9)
        line = ""
        marks = [step * index for index in range(int(self._span_ns / 1e6 / step) + 1)]
        for mark in marks:
            column = round(mark * 1e6 / self._span_ns * self._columns)
            text = f"{mark:,g}" + (" ms" if mark == marks[-1] else "")
            if not line or column > len(line):
                line = line.ljust(column) + text
        return StyledText(line, "dim")

    def bar(self, row: WaterfallRow) -> StyledText:
        """Return the row's bar. The part beyond the limit has a different character and colour."""
        halves = [0] * (2 * self._columns)  # 0: nothing, 1: within the limit, 2: beyond
        for span in row.spans:
            begin, end = self._halves(span.start_ns, span.end_ns)
            limit = self._limit_half(span, begin, end)
            for half in range(begin, end):
                halves[half] = max(halves[half], 2 if half >= limit else 1)
        cells = [self._cell(left, right) for left, right in zip(halves[::2], halves[1::2], strict=True)]
        styles = {self._glyphs.over: _OVER, " ": ""}
        style = bar_style(row.span)
        bar = StyledText()
        for cell, run in groupby(cells):
            bar.append("".join(run), styles.get(cell, style))
        return bar

    def _cell(self, left: int, right: int) -> str:
        if max(left, right) == 2:
            return self._glyphs.over
        if left and right:
            return self._glyphs.full
        return self._glyphs.left_half if left else self._glyphs.right_half if right else " "

    def _halves(self, start_ns: int, end_ns: int) -> tuple[int, int]:
        most = 2 * self._columns
        begin = (start_ns - self._first_ns) * most // self._span_ns
        end = -(-(end_ns - self._first_ns) * most // self._span_ns)
        begin = min(max(begin, 0), most - 1)
        return begin, min(max(end, begin + 1), most)

    def _limit_half(self, span: SpanRecord, begin: int, end: int) -> int:
        limit_ms = span.attributes.get(semconv.LATENCY_LIMIT_MS)
        if not span.exceeded or not isinstance(limit_ms, int | float):
            return end
        at_limit, _ = self._halves(span.start_ns + round(limit_ms * 1e6), span.end_ns)
        # Even a small overrun takes one column.
        return max(begin, min(at_limit, end - 2))


def bar_style(span: SpanRecord) -> str:
    """Return the colour of a span's bar: red if it failed, otherwise by its kind."""
    if span.failed:
        return "red"
    if semconv.first(span.attributes, semconv.DB_SYSTEM) is not None:
        return "bright_blue"
    return {"SERVER": "cyan", "CLIENT": "magenta", "CONSUMER": "cyan", "PRODUCER": "magenta"}.get(
        span.kind, "green"
    )


def milliseconds(value: float) -> str:
    """Return a duration for display, always in milliseconds, such as `0.42 ms` or `1,108 ms`."""
    digits = 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:,.{digits}f} ms"


def _round_step(length_ms: float, marks: int) -> float:
    """Return 1, 2 or 5 times a power of ten, so that at most `marks` steps fit on the axis."""
    least = length_ms / max(1, marks)
    power = 10.0**-6
    while power * 10 <= least:
        power *= 10
    return next((power * factor for factor in (1, 2, 5) if power * factor >= least), power * 10)


_TIME = 10
"""Columns of a duration, such as `12,345 ms`."""


class Waterfall:
    """A waterfall of one trace.

    Args:
        spans: The spans of the trace, in any order.
        max_rows: Maximum number of rows. The other spans are counted.

    Example:
        `print(Waterfall(spans, max_rows=60).drawn(width=100), end="")`
    """

    def __init__(self, spans: Sequence[SpanRecord], *, max_rows: int) -> None:
        self._spans = spans
        self._max_rows = max_rows

    def drawn(self, width: int, *, colours: bool = False, ascii_only: bool = False) -> str:
        """Return the waterfall as lines of text.

        Args:
            width: Maximum number of columns.
            colours: Whether to use ANSI colours.
            ascii_only: Whether to draw with ASCII characters only.
        """
        if not self._spans:
            return ""
        picture = _Picture(self._spans, self._max_rows, width, ASCII if ascii_only else UNICODE)
        return "".join(f"{line.cut(width, '').rendered(colours=colours)}\n" for line in picture.lines())


class _Picture:
    """The lines of a waterfall at a given width."""

    def __init__(self, spans: Sequence[SpanRecord], max_rows: int, width: int, glyphs: Glyphs) -> None:
        rows = list(rows_of(spans))
        self._rows, self._hidden = rows[:max_rows], rows[max_rows:]
        self._glyphs = glyphs
        self._width = width
        first, last = min(span.start_ns for span in spans), max(span.end_ns for span in spans)
        # The same for every trace, so that all waterfalls are aligned.
        self._label_width = max(16, width * 47 // 100)
        self._axis = TimeAxis(first, last, max(4, width - self._label_width - 2 - _TIME), glyphs)
        self._trace_id = spans[0].trace_id

    def lines(self) -> Iterator[StyledText]:
        head = StyledText(f"trace {self._trace_id}", "dim")
        is_line = len(self._rows) == 1 and not self._rows[0].span.exceeded
        if not is_line:
            yield self._columns(head, self._axis.scale())
        for row in self._rows:
            # A single span needs no axis, since its bar is always full.
            middle = head if is_line else self._axis.bar(row)
            yield self._columns(self._titled(row), middle, milliseconds(row.duration_ms))
            for note in notes_of(row, self._glyphs):
                guide = self._guide(row, of_notes=True)
                line = StyledText(guide, "dim").append(note)
                yield line.cut(self._width, self._glyphs.ellipsis)
        if self._hidden:
            yield StyledText(self._rest(), "dim").cut(self._width, self._glyphs.ellipsis)

    def _columns(self, label: StyledText, middle: StyledText, time: str = "") -> StyledText:
        bar_width = self._width - self._label_width - 2 - _TIME
        if not time:  # the scale may use the duration's columns
            bar_width += _TIME + 1
        line = label.cut(self._label_width, self._glyphs.ellipsis).padded(self._label_width)
        line.append(" ").append(middle.cut(bar_width, self._glyphs.ellipsis))
        return line.padded(self._width - _TIME).append(time.rjust(_TIME)) if time else line

    def _titled(self, row: WaterfallRow) -> StyledText:
        """Return the label with its indentation. A long name is truncated, its suffix is not."""
        guide = StyledText(self._guide(row), "dim")
        return guide.append(_label(row, self._glyphs, self._label_width - guide.width))

    def _guide(self, row: WaterfallRow, *, of_notes: bool = False) -> str:
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


def _label(row: WaterfallRow, glyphs: Glyphs, width: int | None = None) -> StyledText:
    """Return the span's name with its number of repetitions and its HTTP status."""
    span = row.span
    tail = StyledText()
    if len(row.spans) > 1:
        tail.append(f" {glyphs.times}{len(row.spans)}", "bold yellow")
    status = semconv.first(span.attributes, semconv.HTTP_STATUS_CODE) if span.kind == "SERVER" else None
    if status is not None:
        tail.append(f" {printable(str(status))}", _status_style(str(status)))
    style = "bold red" if span.failed else ("bold" if row.depth == 0 else "")
    name = StyledText(printable(span.name), style)
    if width is not None:
        name = name.cut(max(1, width - tail.width), glyphs.ellipsis)
    return name.append(tail)


def _status_style(status: str) -> str:
    return {"5": "bold red", "4": "yellow"}.get(status[:1], "green")
