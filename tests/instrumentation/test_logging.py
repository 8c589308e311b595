"""Standard logging as OpenTelemetry log records, whatever the service does with its handlers."""

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


def test_a_record_with_its_arguments_extras_place_and_severity(
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
    assert record.attributes["code.function.name"].startswith("test_a_record_with_its")
    assert emitted.instrumentation_scope.name == "shop.ledger"


def test_an_exception_comes_along(memory: InMemoryLogRecordExporter, logger: logging.Logger) -> None:
    try:
        raise ValueError("no")
    except ValueError:
        logger.exception("failed")
    [emitted] = records(memory)
    assert isinstance(emitted.log_record.exception, ValueError)
    assert emitted.log_record.attributes["exception.type"] == "ValueError"


def test_below_the_level_and_of_our_own_nothing_is_emitted(
    memory: InMemoryLogRecordExporter, logger: logging.Logger
) -> None:
    logger.debug("too low")
    logging.getLogger("mita_otel").error("of our own")
    logging.getLogger("opentelemetry.sdk").error("of the SDK")
    with suppress_instrumentation():
        logger.error("of an exporter's thread")
    assert records(memory) == []


def test_logging_itself_goes_on_and_a_bad_record_is_its_own_business(
    memory: InMemoryLogRecordExporter, logger: logging.Logger
) -> None:
    seen: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(record.msg)

    logger.handlers.insert(0, Handler())
    logger.info("one")
    with contextlib.suppress(TypeError):  # pytest's own handler minds
        logger.info("%d", "not a number")
    assert seen == ["one", "%d"]
    assert [one.log_record.body for one in records(memory)] == ["one"]


def test_a_record_that_is_logged_while_one_is_emitted_makes_no_endless_loop(
    logger: logging.Logger, patches: Patches
) -> None:
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
