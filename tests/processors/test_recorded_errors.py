"""Exceptions that were only recorded on spans are reported once, when their request or task has ended."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry._logs import SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.trace import SpanKind

from mita_otel.processors.captured_exceptions import RecordedErrors


class Service(SpanProcessor):
    """A tracer and a logger with the processor behind them."""

    def __init__(self, max_held: int = 10) -> None:
        self.reported: list[Any] = []
        self.described: list[Any] = []
        self.errors = RecordedErrors(
            self._report, self._describe, ignored=["builtins.KeyError", "KeyError"], max_held=max_held
        )
        tracers, loggers = TracerProvider(shutdown_on_exit=False), LoggerProvider(shutdown_on_exit=False)
        tracers.add_span_processor(self)
        loggers.add_log_record_processor(self.errors)
        self.tracer, self.logger = tracers.get_tracer("bank"), loggers.get_logger("bank")

    def on_end(self, span: ReadableSpan) -> None:
        self.errors.on_span_end(span)

    def _report(self, event_id: str, span: Mapping[str, Any], context: Any, found: Mapping[str, Any]) -> None:
        self.reported.append(found["exception.message"])

    def _describe(self, event_id: str, exception: BaseException, message: str, *, level: int) -> None:
        self.described.append((str(exception), level))

    def fail(self, error: Exception, name: str = "ask") -> None:
        with self.tracer.start_as_current_span(name):
            raise error


@pytest.fixture
def service() -> Service:
    return Service()


def test_an_exception_on_a_span_is_reported_when_the_request_has_ended(service: Service) -> None:
    with service.tracer.start_as_current_span("GET /", kind=SpanKind.SERVER):
        with suppress(ValueError):
            service.fail(ValueError("refused"))
        assert service.reported == []
    assert service.reported == ["refused"]


def test_an_exception_that_passes_several_spans_is_reported_once(service: Service) -> None:
    start = service.tracer.start_as_current_span
    with suppress(ValueError), start("request"), start("outer"):
        service.fail(ValueError("refused"))
    assert service.reported == ["refused"]


@pytest.mark.parametrize("event_name", ["mita.error", "app.error"])
def test_an_exception_that_a_log_record_contains_is_not_reported_again(
    service: Service, event_name: str
) -> None:
    with service.tracer.start_as_current_span("request"):
        try:
            service.fail(ValueError("refused"))
        except ValueError as error:
            service.logger.emit(exception=error, event_name=event_name, severity_number=SeverityNumber.ERROR)
    assert service.reported == []


def test_a_log_record_with_an_exception_is_reported_if_it_is_an_error(service: Service) -> None:
    service.logger.emit(exception=ValueError("a"), severity_number=SeverityNumber.WARN)
    service.logger.emit(exception=ValueError("b"), severity_number=SeverityNumber.FATAL)
    assert service.described == [("b", 21)]


def test_ignored_types_are_not_reported(service: Service) -> None:
    with suppress(KeyError):
        service.fail(KeyError("id"))
    assert service.reported == []


def test_held_traces_are_bounded_and_the_oldest_is_reported_first() -> None:
    service = Service(max_held=1)
    roots = [service.tracer.start_span(f"request {number}") for number in range(3)]
    for number, root in enumerate(roots):
        child = service.tracer.start_span("ask", context=trace.set_span_in_context(root))
        child.record_exception(ValueError(str(number)))
        child.end()
    assert service.reported == ["0", "1"]
    service.errors.shutdown()
    assert service.reported == ["0", "1", "2"]
