"""The time axis of a waterfall: where a bar lies, and what the scale above the bars says."""

from __future__ import annotations

from itertools import groupby

from mita_otel import semconv
from mita_otel.exporters.glyphs import Glyphs
from mita_otel.exporters.span_record import SpanRecord
from mita_otel.exporters.span_tree import Row
from mita_otel.exporters.styled_text import StyledText

_OVER = "bold red"


class TimeAxis:
    """Maps times to columns. A column has two halves, so that a bar is exact to half a column.

    Args:
        first_ns: Where the axis begins, nanoseconds.
        last_ns: Where it ends.
        columns: Its width.
        glyphs: The characters to draw with.
    """

    def __init__(self, first_ns: int, last_ns: int, columns: int, glyphs: Glyphs) -> None:
        self._first_ns = first_ns
        self._span_ns = max(1, last_ns - first_ns)
        self._columns = columns
        self._glyphs = glyphs

    def scale(self) -> StyledText:
        """Return the scale: round numbers over their columns, the last one with its unit."""
        step = _round_step(self._span_ns / 1e6, self._columns // 9)
        line = ""
        marks = [step * index for index in range(int(self._span_ns / 1e6 / step) + 1)]
        for mark in marks:
            column = round(mark * 1e6 / self._span_ns * self._columns)
            text = f"{mark:,g}" + (" ms" if mark == marks[-1] else "")
            if not line or column > len(line):
                line = line.ljust(column) + text
        return StyledText(line, "dim")

    def bar(self, row: Row) -> StyledText:
        """Return the row's bar. What lies beyond the limit is drawn in another way, colour or not."""
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
        # However small the overrun, one column of it shows.
        return max(begin, min(at_limit, end - 2))


def bar_style(span: SpanRecord) -> str:
    """Return the colour of a span's bar: red if it failed, else by what it is."""
    if span.failed:
        return "red"
    if semconv.first(span.attributes, semconv.DB_SYSTEM) is not None:
        return "bright_blue"
    return {"SERVER": "cyan", "CLIENT": "magenta", "CONSUMER": "cyan", "PRODUCER": "magenta"}.get(
        span.kind, "green"
    )


def milliseconds(value: float) -> str:
    """Return a duration for people, always in milliseconds, as in `0.42 ms` or `1,108 ms`."""
    digits = 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:,.{digits}f} ms"


def _round_step(length_ms: float, marks: int) -> float:
    """Return 1, 2 or 5 times a power of ten, so that at most `marks` steps fit on the axis."""
    least = length_ms / max(1, marks)
    power = 10.0**-6
    while power * 10 <= least:
        power *= 10
    return next((power * factor for factor in (1, 2, 5) if power * factor >= least), power * 10)
