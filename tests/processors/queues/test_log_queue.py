"""The queue of a log exporter is bounded, respects deadlines and counts losses."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from opentelemetry._logs import LogRecord
from opentelemetry.sdk._logs import LoggerProvider, ReadableLogRecord, ReadWriteLogRecord
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult

from mita_otel.policy import default_policy
from mita_otel.processors.log_redaction import LogRedaction
from mita_otel.processors.queues.log_queue import LogQueue
from mita_otel.processors.queues.losses import Losses
from mita_otel.redaction import Redactor


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


def queue(
    exporter: Exporter, redaction: LogRedaction | None = None, max_bytes: float = 1e9, **changes: Any
) -> tuple[LoggerProvider, Losses]:
    losses = Losses(cool_down_s=3600)
    policy = default_policy().export.queue.replace(**{"delay_ms": 1.0, **changes})
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(
        LogQueue("x", exporter, policy, losses, stop_timeout_s=5, redaction=redaction, max_bytes=max_bytes)
    )
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


class WatchedRedaction(LogRedaction):
    """Remembers the threads on which records are redacted, and fails as asked."""

    def __init__(self) -> None:
        super().__init__(Redactor())
        self.threads: set[str] = set()

    def redacted(self, emitted: ReadWriteLogRecord) -> ReadWriteLogRecord:
        self.threads.add(threading.current_thread().name)
        return super().redacted(emitted)


def test_records_are_redacted_on_the_queues_thread_as_they_were_when_emitted() -> None:
    exporter, redaction = Exporter(), WatchedRedaction()
    provider, _ = queue(exporter, redaction)
    body: dict[str, Any] = {"card": "4111111111111111", "steps": ["one"]}
    provider.get_logger("t").emit(LogRecord(body=body))
    body["steps"].append("later")
    assert provider.force_flush(60_000)
    assert exporter.bodies == [{"card": "[redacted:card]", "steps": ["one"]}]
    assert redaction.threads == {"mita-otel-logs.x"}
    provider.shutdown()


def test_waiting_records_are_bounded_in_bytes() -> None:
    exporter = Exporter()
    exporter.gate.clear()
    provider, losses = queue(exporter, LogRedaction(Redactor()), max_bytes=100_000, max_batch=1)
    for number in range(5):
        provider.get_logger("t").emit(LogRecord(body=f"{number}" + "x" * 40_000))
    assert losses.counts() == {("logs.x", "queue_full"): 3}
    exporter.gate.set()
    assert provider.force_flush(60_000)
    provider.get_logger("t").emit(LogRecord(body="y" * 90_000))
    assert provider.force_flush(60_000)
    assert len(exporter.bodies) == 3, "what was exported no longer counts"
    assert losses.counts() == {("logs.x", "queue_full"): 3}
    provider.shutdown()


def test_a_record_that_cannot_be_copied_is_counted_and_does_not_raise() -> None:
    class Unreadable(dict[str, Any]):
        def items(self) -> Any:
            raise RuntimeError

    provider, losses = queue(Exporter(), LogRedaction(Redactor()))
    emitted = ReadWriteLogRecord(LogRecord(body=Unreadable(a=1)))
    for processor in provider._multi_log_record_processor._log_record_processors:
        processor.on_emit(emitted)
    assert losses.counts() == {("logs.x", "not_copyable"): 1}
    provider.shutdown()
