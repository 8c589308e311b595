"""Every part of a log record is redacted; redaction fails closed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry._logs import Logger, SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor, ReadWriteLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

from mita_otel import semconv
from mita_otel.policy import default_policy
from mita_otel.processors.log_redaction import LogRedactionProcessor
from mita_otel.redaction import Redactor

CARD = "4111111111111111"


class Collected(LogRecordProcessor):
    def __init__(self) -> None:
        self.records: list[ReadWriteLogRecord] = []
        self.calls: list[str] = []

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        self.records.append(log_record)

    def enabled(self, **_: Any) -> bool:
        self.calls.append("enabled")
        return False

    def shutdown(self) -> None:
        self.calls.append("shutdown")

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        self.calls.append("force_flush")
        return True


class Broken(Redactor):
    def attributes(self, attributes: Any, tally: Any = None) -> dict[str, Any]:
        raise RuntimeError(str(attributes))


@pytest.fixture
def collected() -> Collected:
    return Collected()


Emitter = Callable[[LogRecordProcessor], Logger]


@pytest.fixture
def logger_for() -> Iterator[Emitter]:
    providers: list[LoggerProvider] = []

    def make(processor: LogRecordProcessor) -> Logger:
        provider = LoggerProvider(resource=Resource({"api_key": "zz81"}), shutdown_on_exit=False)
        provider.add_log_record_processor(processor)
        providers.append(provider)
        return provider.get_logger("app")

    yield make
    for provider in providers:
        provider.shutdown()


@pytest.mark.newest  # Logger.emit(exception=...)
def test_body_attributes_exception_and_resource_are_redacted(
    logger_for: Emitter, collected: Collected
) -> None:
    logger = logger_for(LogRedactionProcessor(default_policy().redaction, collected))
    try:
        raise ValueError(f"card {CARD}")
    except ValueError as error:
        logger.emit(
            body={"password": "hunter2x", "kept": [1, "two"]},
            attributes={"http.url": "https://h/?token=tt77", "n": 3},
            exception=error,
            severity_number=SeverityNumber.ERROR,
            severity_text="ERROR",
            event_name="payment.failed",
            timestamp=17,
        )
    (record,) = collected.records
    shown = repr(record.log_record.body) + repr(dict(record.log_record.attributes or {})) + repr(vars(record))
    for secret in (CARD, "hunter2x", "tt77", "zz81"):
        assert secret not in shown
    assert record.log_record.exception is None
    assert record.log_record.body == {"password": "[redacted:password]", "kept": [1, "two"]}
    attributes = record.log_record.attributes or {}
    assert attributes["exception.type"] == "ValueError"
    assert attributes["exception.message"] == "card [redacted:pan]"
    assert "card [redacted:pan]" in str(attributes["exception.stacktrace"])
    assert attributes["n"] == 3
    assert "password:1" in attributes[semconv.REDACTED_RULES]  # type: ignore[operator]
    assert (record.log_record.timestamp, record.log_record.severity_text) == (17, "ERROR")
    assert record.log_record.event_name == "payment.failed"


def test_the_record_stays_linked_to_its_trace(logger_for: Emitter, collected: Collected) -> None:
    logger = logger_for(LogRedactionProcessor(default_policy().redaction, collected))
    provider = TracerProvider(shutdown_on_exit=False)
    with provider.get_tracer("app").start_as_current_span("work") as span:
        logger.emit(body="hello")
    context = span.get_span_context()
    record = collected.records[0].log_record
    assert (record.trace_id, record.span_id, record.body) == (context.trace_id, context.span_id, "hello")
    assert not record.attributes
    provider.shutdown()


def test_the_original_record_is_not_changed(logger_for: Emitter, collected: Collected) -> None:
    seen: list[Any] = []

    class Both(LogRedactionProcessor):
        def on_emit(self, log_record: ReadWriteLogRecord) -> None:
            super().on_emit(log_record)
            seen.append(log_record.log_record.body)

    logger_for(Both(default_policy().redaction, collected)).emit(body=f"card {CARD}")
    assert seen == [f"card {CARD}"]
    assert collected.records[0].log_record.body == "card [redacted:pan]"


def test_a_record_that_cannot_be_redacted_keeps_ids_times_and_severity_only(
    logger_for: Emitter, collected: Collected, caplog: pytest.LogCaptureFixture
) -> None:
    processor = LogRedactionProcessor(Broken(default_policy().redaction), collected)
    logger = logger_for(processor)
    logger.emit(body=CARD, attributes={"n": CARD}, severity_text=CARD, event_name=CARD, timestamp=17)
    logger.emit(body=CARD)
    first = collected.records[0]
    assert CARD not in repr(vars(first)) + repr(vars(first.log_record)) + repr(
        dict(first.log_record.attributes or {})
    )
    assert first.log_record.timestamp == 17
    assert processor.failures == 2
    assert len(caplog.records) == 1
    assert CARD not in caplog.text


def test_lifecycle_calls_reach_the_next_processor(collected: Collected) -> None:
    processor = LogRedactionProcessor(default_policy().redaction, collected)
    assert processor.enabled() is False
    assert processor.force_flush(5) is True
    processor.shutdown()
    assert collected.calls == ["enabled", "force_flush", "shutdown"]


def test_a_secret_in_the_extras_is_redacted_in_the_body(logger_for: Emitter, collected: Collected) -> None:
    logger = logger_for(LogRedactionProcessor(default_policy().redaction, collected))
    logger.emit(
        body="refused hunter2-Zx", attributes={"row": ["ada", "hunter2-Zx"], "password": "hunter2-Zx"}
    )
    record = collected.records[0].log_record
    assert record.body == "refused [redacted:password]"
    assert "hunter2" not in repr(record.attributes)


def test_a_record_whose_redaction_panics_is_passed_on_without_contents(
    logger_for: Emitter, collected: Collected
) -> None:
    class Panic(BaseException):
        """Not an Exception, as a panic of a Rust extension."""

    class Panicking(Redactor):
        def attributes(self, attributes: Any, tally: Any = None) -> dict[str, Any]:
            raise Panic

    logger_for(LogRedactionProcessor(Panicking(default_policy().redaction), collected)).emit(body=CARD)
    assert collected.records[0].log_record.body == "[redacted:error]"
