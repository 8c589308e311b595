"""A record of a span for display, from a finished span or from a line of the `file` exporter."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan

from mita_otel import semconv
from mita_otel.processors.finished_spans import span_json


@dataclass(frozen=True, slots=True)
class EventRecord:
    """An event of a span."""

    name: str
    time_ns: int
    attributes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class SpanRecord:
    """A finished span, marked and redacted."""

    trace_id: str
    """Hexadecimal."""
    span_id: str
    """Hexadecimal."""
    parent_span_id: str | None
    """Hexadecimal; None: the trace starts here."""
    name: str
    kind: str
    """`SERVER`, `CLIENT`, `INTERNAL`, `PRODUCER` or `CONSUMER`."""
    start_ns: int
    """Nanoseconds since the epoch."""
    end_ns: int
    """Nanoseconds since the epoch."""
    parent_is_remote: bool = False
    status: str = "UNSET"
    """`OK`, `ERROR` or `UNSET`."""
    status_description: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    events: tuple[EventRecord, ...] = ()

    @property
    def duration_ms(self) -> float:
        """Milliseconds."""
        return (self.end_ns - self.start_ns) / 1e6

    @property
    def is_local_root(self) -> bool:
        """Whether it has no parent in this process."""
        return self.parent_span_id is None or self.parent_is_remote

    @property
    def failed(self) -> bool:
        """Whether the span's status is an error."""
        return self.status == "ERROR"

    @property
    def exceeded(self) -> bool:
        """Whether the span took longer than its limit."""
        return bool(self.attributes.get(semconv.LATENCY_EXCEEDED))

    @property
    def redacted(self) -> int:
        """Number of redacted values in the span."""
        count = self.attributes.get(semconv.REDACTED)
        return count if isinstance(count, int) else 0

    @classmethod
    def from_span(cls, span: ReadableSpan) -> SpanRecord:
        """Return the record of a finished span."""
        return cls.from_mapping(span_json(span))

    @classmethod
    def from_mapping(cls, line: Mapping[str, Any]) -> SpanRecord:
        """Return the record of a line of the `file` exporter.

        Raises:
            ValueError: The mapping is not a span. The message names the missing or invalid key.
        """
        try:
            start_ns = int(line["start_ns"])
            status = line.get("status") or {}
            return cls(
                trace_id=str(line["trace_id"]),
                span_id=str(line["span_id"]),
                parent_span_id=line.get("parent_span_id"),
                parent_is_remote=bool(line.get("parent_is_remote")),
                name=str(line["name"]),
                kind=str(line["kind"]),
                start_ns=start_ns,
                end_ns=start_ns if line.get("end_ns") is None else int(line["end_ns"]),
                status=str(status.get("code", "UNSET")),
                status_description=status.get("description"),
                attributes=dict(line.get("attributes") or {}),
                events=tuple(
                    EventRecord(
                        str(event["name"]), int(event["time_ns"]), dict(event.get("attributes") or {})
                    )
                    for event in line.get("events") or ()
                ),
            )
        except KeyError as error:
            raise ValueError(f"not a span of the file exporter: {error.args[0]!r} is missing") from error
        except (TypeError, AttributeError) as error:
            raise ValueError(f"not a span of the file exporter: {error}") from error


def read_spans(path: Path) -> Iterator[SpanRecord]:
    """Read a file of the `file` exporter.

    Raises:
        OSError: The file cannot be read.
        ValueError: A line is not a span. The message names the file and the line.
    """
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
                if not isinstance(record, dict):
                    raise ValueError("not a JSON object")
                yield SpanRecord.from_mapping(record)
            except ValueError as error:
                raise ValueError(f"{path}, line {number}: {error}") from error
