"""Spans, log records and counts that the financial API emitted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor, ReadWriteLogRecord
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from mita_otel.finance.audit_signal import AuditSignal
from mita_otel.finance.facts import known_attributes
from mita_otel.finance.middleware import enrich_span
from mita_otel.finance.runtime import FinanceRuntime
from mita_otel.policy.finance import FinancePolicy
from mita_otel.processors.context import ContextLogProcessor, ContextProcessor


class Kept(LogRecordProcessor):
    """Stores log records."""

    def __init__(self) -> None:
        self.records: list[ReadWriteLogRecord] = []

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        self.records.append(log_record)

    def shutdown(self) -> None:
        pass

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return True


class Trail:
    """An audit trail in memory."""

    def __init__(self) -> None:
        self.signals: list[AuditSignal] = []

    def record(self, event: AuditSignal, /) -> None:
        self.signals.append(event)


class Recording:
    """A runtime whose telemetry is kept in memory."""

    def __init__(self, policy: FinancePolicy, clock: Clock) -> None:
        self.clock = clock
        self.audit = Trail()
        self._spans = InMemorySpanExporter()
        self._logs = Kept()
        self._metrics = InMemoryMetricReader()
        self.tracer_provider = TracerProvider()
        self.tracer_provider.add_span_processor(
            ContextProcessor(enrich_span, SimpleSpanProcessor(self._spans))
        )
        self.logger_provider = LoggerProvider()
        self.logger_provider.add_log_record_processor(ContextLogProcessor(known_attributes))
        self.logger_provider.add_log_record_processor(self._logs)
        self.meter_provider = MeterProvider(metric_readers=[self._metrics])
        self.tracer = self.tracer_provider.get_tracer("test")
        self.runtime = FinanceRuntime(
            policy,
            tracer=self.tracer_provider.get_tracer("mita_otel.finance"),
            logger=self.logger_provider.get_logger("mita_otel.finance"),
            meter=self.meter_provider.get_meter("mita_otel.finance"),
            audit=self.audit,
            clock=clock,
        )

    @property
    def spans(self) -> list[ReadableSpan]:
        """Finished spans."""
        return list(self._spans.get_finished_spans())

    def span(self, name: str) -> ReadableSpan:
        """Return the only finished span of that name."""
        [span] = [span for span in self.spans if span.name == name]
        return span

    @property
    def records(self) -> list[ReadWriteLogRecord]:
        return self._logs.records

    def events(self, name: str = "mita.error") -> list[Mapping[str, Any]]:
        """Attributes of the log records of that name."""
        return [
            record.log_record.attributes or {}
            for record in self.records
            if record.log_record.event_name == name
        ]

    @property
    def error(self) -> Mapping[str, Any]:
        """Return the attributes of the only captured error."""
        [error] = self.events()
        return error

    def counts(self, counter: str) -> dict[tuple[str, ...], int]:
        """Values of a counter by its attributes' values, sorted by name."""
        data = self._metrics.get_metrics_data()
        points = [
            point
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == counter
            for point in metric.data.data_points
        ]
        return {
            tuple(str(value) for _, value in sorted((point.attributes or {}).items())): int(point.value)  # type: ignore[union-attr]
            for point in points
        }


class Clock:
    """A clock that only the test advances."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now
