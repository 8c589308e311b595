"""The queue of a log exporter is bounded, respects deadlines and counts losses."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from opentelemetry._logs import LogRecord
from opentelemetry.sdk._logs import LoggerProvider, ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult

from mita_otel.policy import default_policy
from mita_otel.processors.queues.log_queue import LogQueue
from mita_otel.processors.queues.losses import Losses


class Exporter(LogRecordExporter):
    def __init__(self, result: Any = LogRecordExportResult.SUCCESS) -> None:
        self.bodies: list[Any] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.ended = False
        self._result = result

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        self.entered.set()
        self.gate.wait(30)
        if isinstance(self._result, Exception):
            raise self._result
        self.bodies.extend(one.log_record.body for one in batch)
        return self._result

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return True

    def shutdown(self) -> None:
        self.ended = True


def queue(exporter: Exporter, **changes: Any) -> tuple[LoggerProvider, Losses]:
    losses = Losses(cool_down_s=3600)
    policy = default_policy().export.queue.replace(**{"delay_ms": 1.0, **changes})
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(LogQueue("x", exporter, policy, losses, stop_timeout_s=5))
    return provider, losses


def emit(provider: LoggerProvider, count: int) -> None:
    for number in range(count):
        provider.get_logger("t").emit(LogRecord(body=number))


def test_after_a_flush_everything_is_exported_in_order() -> None:
    exporter = Exporter()
    provider, losses = queue(exporter)
    emit(provider, 2000)
    assert provider.force_flush(60_000)
    assert exporter.bodies == list(range(2000))
    assert losses.counts() == {}
    provider.shutdown()
    assert exporter.ended


def test_refused_and_failed_records_are_counted() -> None:
    exporter = Exporter()
    exporter.gate.clear()
    provider, losses = queue(exporter, exporter_max_spans=5, max_batch=1)
    emit(provider, 1)
    assert exporter.entered.wait(60)
    emit(provider, 8)
    assert losses.counts() == {("logs.x", "queue_full"): 3}
    assert not provider.force_flush(10), "the exporter hangs"
    exporter.gate.set()
    assert provider.force_flush(60_000)
    assert exporter.bodies == list(range(1)) + list(range(5))
    provider.shutdown()


def test_an_exporter_that_raises_or_refuses_is_counted() -> None:
    for result, reason in (
        (RuntimeError("full"), "exporter_failed"),
        (LogRecordExportResult.FAILURE, "export_failed"),
    ):
        provider, losses = queue(Exporter(result))
        emit(provider, 3)
        provider.force_flush(10_000)
        assert losses.counts() == {("logs.x", reason): 3}
        provider.shutdown()
