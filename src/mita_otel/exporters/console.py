"""The `console` exporter: prints each trace as a waterfall when it ends."""

from __future__ import annotations

import dataclasses
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from shutil import get_terminal_size
from typing import TextIO

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from mita_otel.exporters.span_record import SpanRecord
from mita_otel.exporters.styled_text import shows_colours
from mita_otel.exporters.waterfall import Waterfall
from mita_otel.policy import load_policy
from mita_otel.policy.runtime import ConsolePolicy
from mita_otel.processors.queues.stage import ExporterHooks
from mita_otel.redaction import Redactor


class TraceCollector:
    """Collects the spans of a trace until its local root ends.

    Children end before their parents. A span that ends after its parent was released, such as a background task, is
    released as a separate trace.

    Args:
        max_spans: Maximum number of held spans. Beyond it the oldest trace is released incomplete.
        max_wait_s: Seconds after which a trace is released incomplete.
        clock: Monotonic seconds.
    """

    def __init__(self, max_spans: int, max_wait_s: float, clock: Callable[[], float]) -> None:
        self._max_spans = max_spans
        self._max_wait_s = max_wait_s
        self._clock = clock
        self._waiting: OrderedDict[str, list[SpanRecord]] = OrderedDict()
        self._since: dict[str, float] = {}
        self._count = 0
        self._ended: list[list[SpanRecord]] = []
        self._released: OrderedDict[str, None] = OrderedDict()
        """Ids of the spans that were released last, to recognise late children."""

    def add(self, span: SpanRecord) -> None:
        """Add a finished span."""
        waiting = self._waiting.setdefault(span.trace_id, [])
        self._since.setdefault(span.trace_id, self._clock())
        waiting.append(span)
        self._count += 1
        if span.is_local_root or span.parent_span_id in self._released:
            self._end(span)
        elif self._count > self._max_spans:
            self._ended.append(self._take(next(iter(self._waiting))))

    def ended(self) -> list[list[SpanRecord]]:
        """Remove and return the traces that have ended or were held too long."""
        latest = self._clock() - self._max_wait_s
        for trace_id in [one for one in self._waiting if self._since[one] <= latest]:
            self._ended.append(self._take(trace_id))
        ended, self._ended = self._ended, []
        return ended

    def take_all(self) -> list[list[SpanRecord]]:
        """Remove and return all held traces."""
        self._ended.extend([self._take(trace_id) for trace_id in list(self._waiting)])
        return self.ended()

    def disable_waiting(self) -> None:
        """Release every later span at once."""
        self._max_wait_s = 0.0

    def _end(self, root: SpanRecord) -> None:
        """Release the spans below `root`. Spans of other requests of the same trace are still held."""
        since = self._since[root.trace_id]
        rest = self._remove(root.trace_id)
        below = {root.span_id}
        mine: list[SpanRecord] = []
        found = True
        while found:
            # Parents end after their children, so one pass from the last to the first finds nearly all.
            found = False
            left: list[SpanRecord] = []
            for span in reversed(rest):
                if span.span_id in below or span.parent_span_id in below:
                    below.add(span.span_id)
                    mine.append(span)
                    found = True
                else:
                    left.append(span)
            rest = left[::-1]
        self._ended.append(self._release(mine))
        if rest:
            self._waiting[root.trace_id] = rest
            self._since[root.trace_id] = since
            self._count += len(rest)

    def _take(self, trace_id: str) -> list[SpanRecord]:
        return self._release(self._remove(trace_id))

    def _remove(self, trace_id: str) -> list[SpanRecord]:
        spans = self._waiting.pop(trace_id)
        del self._since[trace_id]
        self._count -= len(spans)
        return spans

    def _release(self, spans: list[SpanRecord]) -> list[SpanRecord]:
        for span in spans:
            self._released[span.span_id] = None
        while len(self._released) > self._max_spans:
            self._released.popitem(last=False)
        return spans


class ConsoleWaterfallExporter(SpanExporter, ExporterHooks):
    """Prints each trace as a waterfall to a terminal or a file.

    A trace is printed when its local root ends. Later spans, such as background tasks, are printed as a separate tree.
    The number of held spans and their age are bounded. If the stream is closed (`service | head`), printing stops and the
    service continues.

    Args:
        max_width: Maximum number of columns, and the width of a file. None: `export.console.max_width` of the policy.
        stream: The output. None: the current `sys.stdout`.
        policy: The policy section `[export.console]`. None: that of the discovered policy (see `load_policy`).
        clock: Monotonic seconds.
        redactor: Searches held spans for secrets that later spans of their trace showed. None: they are printed as they are.
    """

    def __init__(
        self,
        max_width: int | None = None,
        stream: TextIO | None = None,
        *,
        policy: ConsolePolicy | None = None,
        clock: Callable[[], float] = time.monotonic,
        redactor: Redactor | None = None,
    ) -> None:
        settings = policy or load_policy().export.console
        self._max_width = settings.max_width if max_width is None else max_width
        self._max_rows = settings.max_rows
        self._stream = stream
        self._redactor = redactor
        self._broken: TextIO | None = None
        self._printed_line = False
        self._lock = threading.Lock()
        self._traces = TraceCollector(settings.max_waiting_spans, settings.max_wait_s, clock)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Add the spans, and print each trace that has ended. FAILURE if the stream is closed."""
        with self._lock:
            for span in spans:
                self._traces.add(SpanRecord.from_span(span))
            return SpanExportResult.SUCCESS if self._print(self._traces.ended()) else SpanExportResult.FAILURE

    def tick(self) -> None:
        """Print traces that were held too long. Called regularly while no spans arrive."""
        with self._lock:
            self._print(self._traces.ended())

    def drain(self) -> None:
        """Print later spans at once, since the process may be about to end."""
        with self._lock:
            self._traces.disable_waiting()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Print all held traces. Returns False if the stream is closed."""
        with self._lock:
            return self._print(self._traces.take_all())

    def shutdown(self) -> None:
        """Print all held traces."""
        self.force_flush()

    def _print(self, traces: list[list[SpanRecord]]) -> bool:
        if not traces:
            return True
        stream = self._stream or sys.stdout
        if stream is None or stream is self._broken:
            return False
        try:
            stream.write(self._drawn(traces, stream))
            stream.flush()
        except (OSError, ValueError):  # the reader or the owner has closed the stream
            self._broken = stream
            return False
        return True

    def _drawn(self, traces: list[list[SpanRecord]], stream: TextIO) -> str:
        encoding = getattr(stream, "encoding", None) or "utf-8"
        width = min(get_terminal_size().columns, self._max_width) if stream.isatty() else self._max_width
        colours, ascii_only = shows_colours(stream), not encoding.lower().startswith("utf")
        pictures = []
        for spans in traces:
            # An empty line separates waterfalls, but not single lines.
            is_line, was_line = len(spans) == 1 and not spans[0].exceeded, self._printed_line
            if not (is_line and was_line):
                pictures.append("\n")
            picture = Waterfall([self._redacted_again(span) for span in spans], max_rows=self._max_rows)
            pictures.append(picture.drawn(width, colours=colours, ascii_only=ascii_only))
            self._printed_line = is_line
        return "".join(pictures).encode(encoding, "replace").decode(encoding, "replace")

    def _redacted_again(self, span: SpanRecord) -> SpanRecord:
        """Return the span without secrets that became known after it was redacted."""
        trace_id = int(span.trace_id, 16)
        if self._redactor is None or not self._redactor.knows_secrets_of(trace_id):
            return span
        findings = self._redactor.findings(trace_id)
        known = findings.known
        return dataclasses.replace(
            span,
            name=known.redact(span.name, findings),
            status_description=known.redact(span.status_description, findings),
            attributes=known.redact(span.attributes, findings),
            events=tuple(
                dataclasses.replace(
                    event,
                    name=known.redact(event.name, findings),
                    attributes=known.redact(event.attributes, findings),
                )
                for event in span.events
            ),
        )
