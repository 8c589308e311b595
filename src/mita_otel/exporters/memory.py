"""The `memory` exporter: keeps the newest spans for tests, debuggers and health pages."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from mita_otel.policy import load_policy


class MemorySpanExporter(SpanExporter):
    """Keeps the newest `max_spans` spans.

    Args:
        max_spans: Maximum number of spans. None: `export.memory.max_spans` of the policy.
    """

    def __init__(self, max_spans: int | None = None) -> None:
        if max_spans is None:
            max_spans = load_policy().export.memory.max_spans
        self._lock = threading.Lock()
        self._spans: deque[ReadableSpan] = deque(maxlen=max_spans)

    @property
    def spans(self) -> list[ReadableSpan]:
        """The spans, oldest first, marked and redacted as for every exporter."""
        with self._lock:
            return list(self._spans)

    def clear(self) -> None:
        """Remove all spans."""
        with self._lock:
            self._spans.clear()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Keep the spans."""
        with self._lock:
            self._spans.extend(spans)
        return SpanExportResult.SUCCESS
