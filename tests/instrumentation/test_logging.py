"""Standard logging becomes OpenTelemetry log records, whatever handlers the service uses."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor

from mita_otel.instrumentation.logging import StandardLogging
from mita_otel.instrumentation.patches import Patches


@pytest.fixture
def memory(patches: Patches) -> InMemoryLogRecordExporter:
    exporter = InMemoryLogRecordExporter()
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    StandardLogging("INFO", provider).install(patches)
    return exporter


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    made = logging.getLogger("shop.ledger")
    made.setLevel(logging.DEBUG)
    made.propagate = False
    made.addHandler(logging.NullHandler())
    yield made
    made.handlers.clear()
    made.propagate = True


def records(memory: InMemoryLogRecordExporter) -> list[Any]:
    return list(memory.get_finished_logs())


def test_a_record_has_arguments_extras_location_and_severity(
    memory: InMemoryLogRecordExporter, logger: logging.Logger
) -> None:
    logger.warning("paid %s of %d", "EUR", 5, extra={"account": "a-1", "nested": {"x": 1}})
    [emitted] = records(memory)
    record = emitted.log_record
    assert (record.body, record.severity_text, record.severity_number.value) == (
        "paid EUR of 5",
        "WARNING",
        13,
    )
    assert record.attributes["account"] == "a-1"
    assert record.attributes["nested"] == "{'x': 1}"
    assert record.attributes["code.function.name"].startswith("test_a_record_has")
    assert emitted.instrumentation_scope.name == "shop.ledger"


def test_a_record_contains_its_exception(memory: InMemoryLogRecordExporter, logger: logging.Logger) -> None:
    try:
        raise ValueError("no")
    except ValueError:
        logger.exception("failed")
    [emitted] = records(memory)
    assert isinstance(emitted.log_record.exception, ValueError)
    assert emitted.log_record.attributes["exception.type"] == "ValueError"


def test_records_below_the_level_and_of_telemetry_are_not_emitted(
    memory: InMemoryLogRecordExporter, logger: logging.Logger
) -> None:
    logger.debug("too low")
    logging.getLogger("mita_otel").error("of our own")
    logging.getLogger("opentelemetry.sdk").error("of the SDK")
    with suppress_instrumentation():
        logger.error("of an exporter's thread")
    assert records(memory) == []


class Hostile:
    def __str__(self) -> str:
        return str(self)  # raises RecursionError

    __repr__ = __str__


def test_a_record_that_cannot_be_formatted_is_emitted_with_a_marker(
    memory: InMemoryLogRecordExporter, logger: logging.Logger
) -> None:
    with contextlib.suppress(Exception):  # pytest's own handler formats as well
        logger.warning("paid %s for %s", Hostile(), "ada", extra={"order": Hostile(), "id": 7})
    with contextlib.suppress(Exception):
        logger.warning(Hostile())
    with contextlib.suppress(Exception):
        logger.warning("two %s and %s", "one")
    first, second, third = (one.log_record for one in records(memory))
    assert first.body == "paid [redacted:type] for ada"
    assert (first.attributes["order"], first.attributes["id"]) == ("[redacted:type]", 7)
    assert second.body == "[redacted:type]"
    assert third.body == "two one and %s"


@pytest.mark.parametrize("name", ["opentelemetry_demo.payments", "mita_otel_app", "sentry_sdk_tools"])
def test_application_loggers_with_a_similar_name_are_emitted(
    memory: InMemoryLogRecordExporter, name: str
) -> None:
    logging.getLogger(name).warning("paid")
    assert [one.instrumentation_scope.name for one in records(memory)] == [name]


def test_other_handlers_still_receive_records(
    memory: InMemoryLogRecordExporter, logger: logging.Logger
) -> None:
    seen: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(record.msg)

    logger.handlers.insert(0, Handler())
    logger.info("one")
    with contextlib.suppress(TypeError):  # pytest's own handler raises
        logger.info("%d", "not a number")
    assert seen == ["one", "%d"]
    assert [one.log_record.body for one in records(memory)] == ["one", "not a number"]


def test_logging_during_an_emit_does_not_recurse(logger: logging.Logger, patches: Patches) -> None:
    class Logs(SimpleLogRecordProcessor):
        def on_emit(self, log_record: Any) -> None:
            logger.error("from inside")
            super().on_emit(log_record)

    memory = InMemoryLogRecordExporter()
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(Logs(memory))
    StandardLogging("INFO", provider).install(patches)
    logger.error("outside")
    assert [one.log_record.body for one in memory.get_finished_logs()] == ["outside"]
