"""The `file` exporter: writes each span as a line of JSON."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Sequence
from pathlib import Path

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from mita_otel._json import json_bytes
from mita_otel.policy import load_policy
from mita_otel.processors.finished_spans import span_json

_logger = logging.getLogger("mita_otel")


class FileSpanExporter(SpanExporter):
    """Appends spans to a file as JSON lines.

    Several processes can share the file: each batch is one append. At `max_bytes` the file replaces `PATH.1`, so that it
    never fills the disk. If a write fails (full disk, missing permission), the batch is lost: the first failure is
    logged, and the export queue counts the lost spans.

    Args:
        path: The file. A missing folder is created. None: `export.file.path` of the policy.
        max_bytes: Size at which the file is rotated. None: `export.file.max_megabytes` of the policy.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None, max_bytes: int | None = None) -> None:
        if path is None or max_bytes is None:
            settings = load_policy().export.file
            path = settings.path if path is None else path
            max_bytes = settings.max_megabytes * 1_000_000 if max_bytes is None else max_bytes
        self.path = Path(path)
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._broken = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Append the spans. FAILURE if the file cannot be written."""
        lines = b"".join(json_bytes(span_json(span), newline=True) for span in spans)
        try:
            with self._lock:
                self._append(lines)
        except OSError as error:
            if not self._broken:
                self._broken = True
                _logger.error(
                    "the file exporter cannot write %s: %s; set MITA_OTEL_FILE to a writable path",
                    self.path,
                    error.strerror or error,
                )
            return SpanExportResult.FAILURE
        self._broken = False
        return SpanExportResult.SUCCESS

    def _append(self, lines: bytes) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists() and self.path.stat().st_size + len(lines) > self._max_bytes:
            self.path.replace(self.path.with_name(self.path.name + ".1"))
        # Readable by the owner only. One write per batch keeps lines complete.
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            written = 0
            while written < len(lines):
                written += os.write(descriptor, lines[written:])
        finally:
            os.close(descriptor)
