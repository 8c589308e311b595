"""Telemetry threads survive cancellations; exceptions of the application's signal handlers propagate."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider

from mita_otel.audit.mover_thread import MoverThread
from mita_otel.audit.retention.schedule import DailyRetention
from mita_otel.errors import raise_interrupt
from mita_otel.mobile.destinations import Delivery, SpoolRecord
from mita_otel.mobile.forwarder import Forwarder
from mita_otel.mobile.spool import Spool
from mita_otel.policy import default_policy
from mita_otel.processors.breach_signal import BreachReport, BreachSignal
from mita_otel.processors.log_redaction import LogRedactionProcessor
from mita_otel.processors.metric_redaction import RedactedMetricExporter
from mita_otel.processors.queues.export_queue import FanOut
from mita_otel.processors.queues.losses import Losses
from mita_otel.processors.queues.metric_stage import PeriodicReader
from mita_otel.processors.queues.pipeline_queue import PipelineQueue
from mita_otel.processors.queues.stage import deadline_in
from mita_otel.processors.redaction import RedactionProcessor
from mita_otel.redaction import RedactingFilter, Redactor
from mita_otel.redaction.finders.hit import Finder, Hit
from processors.test_metric_redaction import Kept

POLICY = default_policy()
REPORT = BreachReport("api", "api.methods.GET", "GET /a", 500, 600, 1.0, "a" * 32, "b" * 16)


class PanicException(BaseException):
    """The exception that PyO3 raises for a Rust panic."""


class Timeout(BaseException):
    """The exception that gevent raises for a timeout."""


FAILURES = [asyncio.CancelledError, Timeout, PanicException]
INTERRUPTS = [KeyboardInterrupt, SystemExit]


def raising(error: type[BaseException], times: int = 10**9) -> Callable[..., Any]:
    """Return a function that raises as often as given, and then returns None."""
    left = [times]

    def call(*_: Any, **__: Any) -> None:
        left[0] -= 1
        if left[0] >= 0:
            raise error("no")

    return call


@pytest.fixture
def redactor(monkeypatch: pytest.MonkeyPatch) -> Callable[[type[BaseException]], Redactor]:
    def make(error: type[BaseException]) -> Redactor:
        def find(text: str) -> Iterator[Hit]:
            if "secret" in text:
                raise error("no")
            return iter(())

        finder = Finder(find, words=(), signs="", digits=0)
        monkeypatch.setattr("mita_otel.redaction.compiled_rules.custom_finders", lambda _: [finder])
        return Redactor()

    return make


def everything_that_redacts(redactor: Redactor) -> None:
    """Redact a text, a log record for the terminal, a log record for export, a span and metrics."""
    assert redactor.text("a secret") == "[redacted:error]"
    assert redactor.attributes({"a": "a secret", "b": "fine"})["b"] == "fine"
    assert redactor.event({"extra": {"a": "a secret"}, "level": "error"})["level"] == "error"
    record = logging.LogRecord("app", logging.INFO, "", 1, "a secret", (), None)
    RedactingFilter(redactor).filter(record)
    assert "secret" not in record.getMessage()
    exporter = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
    logs = LoggerProvider(shutdown_on_exit=False)
    logs.add_log_record_processor(LogRedactionProcessor(redactor, SimpleLogRecordProcessor(exporter)))
    logs.get_logger("test").emit(body="a secret")
    assert len(exporter.get_finished_logs()) == 1
    logs.shutdown()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(RedactionProcessor(redactor, FanOut()))
    with provider.get_tracer("test").start_as_current_span("a secret"):
        pass
    provider.shutdown()


@pytest.mark.parametrize("error", FAILURES)
def test_a_text_on_which_a_finder_is_cancelled_is_replaced(error: type[BaseException], redactor: Any) -> None:
    everything_that_redacts(redactor(error))


@pytest.mark.parametrize("error", INTERRUPTS)
def test_exceptions_of_a_signal_handler_reach_the_application(
    error: type[BaseException], redactor: Any
) -> None:
    redact = redactor(error)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(RedactionProcessor(redact, FanOut()))
    logs = LoggerProvider(shutdown_on_exit=False)
    exporter = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
    logs.add_log_record_processor(LogRedactionProcessor(redact, SimpleLogRecordProcessor(exporter)))
    record = logging.LogRecord("app", logging.INFO, "", 1, "a secret", (), None)
    span = provider.get_tracer("test").start_span("a secret")
    for call in (
        lambda: redact.text("a secret"),
        lambda: RedactingFilter(redact).filter(record),
        lambda: logs.get_logger("test").emit(body="a secret"),
        span.end,
    ):
        with pytest.raises(error):
            call()
    logs.shutdown()
    provider.shutdown()


@pytest.mark.parametrize("error", INTERRUPTS)
def test_on_another_thread_they_count_as_failures(error: type[BaseException], redactor: Any) -> None:
    redact, said = redactor(error), []
    thread = threading.Thread(target=lambda: said.append(redact.text("a secret")))
    thread.start()
    thread.join()
    assert said == ["[redacted:error]"]


def test_the_exit_exception_of_a_greenlet_propagates() -> None:
    GreenletExit = type("GreenletExit", (BaseException,), {})
    with pytest.raises(GreenletExit):
        raise_interrupt(GreenletExit())
    raise_interrupt(asyncio.CancelledError())


@pytest.mark.parametrize("error", [*FAILURES, *INTERRUPTS])
def test_the_pipeline_survives_a_cancelled_processor_and_counts_its_spans(error: type[BaseException]) -> None:
    class Broken(SpanProcessor):
        def on_end(self, span: ReadableSpan) -> None:
            if span.name == "bad":
                raise error("no")
            done.append(span.name)

    done: list[str] = []
    losses = Losses(cool_down_s=60)
    queue = PipelineQueue(POLICY.export.queue, Broken(), losses)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(queue)
    for name in ("good", "bad", "good"):
        provider.get_tracer("test").start_span(name).end()
    assert queue.catch_up(60)
    assert done == ["good", "good"]
    assert losses.counts() == {("pipeline", "processor_failed"): 1}
    provider.shutdown()


@pytest.mark.parametrize("error", [*FAILURES, *INTERRUPTS])
def test_a_listener_that_is_cancelled_is_counted_and_the_others_are_notified(
    error: type[BaseException],
) -> None:
    class Listener:
        def __init__(self, call: Callable[..., Any]) -> None:
            self.on_breach = call

    heard: list[BreachReport] = []
    losses = Losses(cool_down_s=60)
    signal = BreachSignal(losses)
    signal.subscribe(Listener(raising(error)))
    signal.subscribe(Listener(heard.append))
    for _ in range(3):
        signal.send(REPORT)
        assert signal.flush(deadline_in(60_000))
    assert len(heard) == 3
    assert losses.counts() == {("breach_listeners", "listener_failed"): 3}
    signal.close()


@pytest.mark.parametrize("error", [*FAILURES, *INTERRUPTS])
def test_a_metrics_exporter_or_callback_that_is_cancelled_does_not_end_the_reader(
    error: type[BaseException],
) -> None:
    exporter, losses = Kept(), Losses(cool_down_s=60)
    exporter.export = raising(error, 1)  # type: ignore[method-assign]
    reader = PeriodicReader(RedactedMetricExporter(Redactor(), exporter, losses), losses)
    provider = MeterProvider([reader], shutdown_on_exit=False)
    callback = raising(error, 1)
    provider.get_meter("test").create_counter("n").add(1)
    on_another_thread(reader.collect)
    assert losses.counts() == {("metrics", "exporter_failed"): 1}
    provider.get_meter("test").create_observable_gauge("g", [lambda _: callback() or []])
    on_another_thread(reader.collect)
    assert losses.counts()["metrics", "callback_failed"] == 1
    provider.shutdown()


def on_another_thread(call: Callable[[], Any]) -> None:
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()


@pytest.mark.parametrize("error", [*FAILURES, *INTERRUPTS])
def test_the_audit_mover_survives_and_retries(
    error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    class Committer:
        abandoned, position = 0, None
        settle = staticmethod(raising(error, 1))

    class Mover:
        def adopt(self, own: object) -> None:
            pass

    policy = POLICY.audit.mover.replace(retry_first_s=0.01)
    moving = MoverThread(policy, Committer(), Mover, clock=time.monotonic)  # type: ignore[arg-type]
    assert not moving.flush(60)
    assert moving.flush(60)
    assert caplog.text.count("audit entries wait in the spool") == 1
    moving.stop(60)


@pytest.mark.parametrize("error", [*FAILURES])
def test_retention_survives_until_the_next_day(
    error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    assert not DailyRetention(POLICY.retention, raising(error)).run_once()
    assert "retention failed; the next attempt is tomorrow" in caplog.text


@pytest.mark.parametrize("error", [*FAILURES, *INTERRUPTS])
@pytest.mark.parametrize("where", ["deliver", "read"])
def test_the_mobile_senders_survive_and_deliver_the_record(
    error: type[BaseException], where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    delivered: list[bytes] = []
    fail = raising(error, 3)

    class Destination:
        def may_have(self, record: SpoolRecord) -> bool:
            return True

        def deliver(self, record: SpoolRecord, payload: bytes) -> Delivery:
            if where == "deliver":
                fail()
            delivered.append(payload)
            return Delivery("delivered")

        def close(self) -> None:
            pass

    spool = Spool(POLICY.mobile.spool, tmp_path, lambda *_: None)
    read = spool.read
    if where == "read":
        monkeypatch.setattr(spool, "read", lambda waiting: (fail(), read(waiting))[1])
    policy = POLICY.mobile.forward.replace(retry_first_s=0.01, retry_max_s=0.02, senders=1)
    forwarder = Forwarder(policy, spool, {("sentry", "app"): Destination()}, lambda *_: None)
    spool.put(SpoolRecord("sentry", "app", "error", ("error",), "envelope", time.time(), {}), b"{}")
    forwarder.wake()
    deadline = time.monotonic() + 60
    while not delivered and time.monotonic() < deadline:
        forwarder.flush(1)
    assert delivered == [b"{}"]
    forwarder.stop(1)
    spool.close()
