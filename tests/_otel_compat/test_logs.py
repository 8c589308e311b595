"""Private names of logger providers and loggers."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry._logs import LogRecord
from opentelemetry.sdk._logs import Logger, LoggerProvider, LogRecordProcessor
from opentelemetry.sdk._logs._internal import ConcurrentMultiLogRecordProcessor
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource

from mita_otel._otel_compat.logs import (
    join_logger_provider,
    log_record_length_limits,
    log_record_limits,
    move_logger,
)


def test_the_length_limits_of_a_provider_are_read() -> None:
    limits = log_record_limits(5)
    if limits:  # from 1.44 on
        assert log_record_length_limits(LoggerProvider(shutdown_on_exit=False, **limits)) == (
            5,
            5,
        )
        assert log_record_limits(None)["log_record_limits"].max_attribute_length is None


def test_a_logger_moves_to_another_provider() -> None:
    first, second = (
        LoggerProvider(resource=Resource({"name": name}), shutdown_on_exit=False)
        for name in ("first", "second")
    )
    second.add_log_record_processor(SimpleLogRecordProcessor(exporter := InMemoryLogRecordExporter()))
    logger = first.get_logger("app")
    assert isinstance(logger, Logger)
    move_logger(logger, second)
    logger.emit(LogRecord(body="x"))
    [record] = exporter.get_finished_logs()
    assert record.resource.attributes == {"name": "second"}


@pytest.mark.parametrize("concurrent", [False, True])
def test_joining_a_logger_provider_wraps_its_processors_and_leaving_restores_them(concurrent: bool) -> None:
    class Marking(LogRecordProcessor):
        def __init__(self, to: list[str], prefix: str = "") -> None:
            self.to, self.prefix = to, prefix

        def on_emit(self, log_record: Any) -> None:
            self.to.append(self.prefix + str(log_record.log_record.body))

        def shutdown(self) -> None: ...

        def force_flush(self, timeout_millis: int = 0) -> bool:
            return True

    bodies: list[str] = []
    multi = ConcurrentMultiLogRecordProcessor() if concurrent else None
    provider = LoggerProvider(multi_log_record_processor=multi, shutdown_on_exit=False)
    provider.add_log_record_processor(Marking([]))
    wrap = lambda one: Marking(bodies, "wrapped ")  # noqa: E731
    leave = join_logger_provider(provider, [Marking(bodies, "ours ")], wrap)
    host: list[str] = []
    provider.add_log_record_processor(Marking(host))
    provider.get_logger("early").emit(LogRecord(body="x"))
    assert sorted(bodies) == ["ours x", "wrapped x", "wrapped x"]
    leave()
    provider.get_logger("early").emit(LogRecord(body="y"))
    assert (len(bodies), host) == (3, ["y"])
    provider.shutdown()
