"""A framework reports an error after the span of its request has ended: the record belongs to the request."""

from __future__ import annotations

import contextvars
import logging
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.trace import SpanKind

from mita_otel.policy import default_policy
from mita_otel.processors.ended_requests import ended_request
from mita_otel.processors.queues.losses import Losses
from mita_otel.processors.queues.pipeline_queue import PipelineQueue


def end_request(path: str = "/pay", error: Exception | None = None, kind: SpanKind = SpanKind.SERVER) -> int:
    """End a request, and return the id of its trace."""
    provider = TracerProvider(shutdown_on_exit=False)
    queue = PipelineQueue(default_policy().export.queue, SpanProcessor(), Losses(cool_down_s=60))
    provider.add_span_processor(queue)
    tracer = provider.get_tracer("t")
    with tracer.start_as_current_span("GET", kind=kind, attributes={"http.target": f"{path}?a=1"}) as span:
        if error is not None:
            span.record_exception(error)
    provider.shutdown()
    return span.get_span_context().trace_id


def line(path: str, logger: str = "django.request") -> logging.LogRecord:
    record = logging.LogRecord(logger, logging.ERROR, "log.py", 1, "Internal Server Error: %s", (path,), None)
    record.request = SimpleNamespace(path=path)
    return record


def in_new_context(test: Callable[[], None]) -> None:
    contextvars.Context().run(test)


def test_an_exception_that_is_on_the_span_belongs_to_the_request() -> None:
    def test() -> None:
        trace_id = end_request(error=ValueError("no account"))
        found = ended_request(ValueError("no account"))
        assert found is not None and found.trace_id == trace_id
        assert ended_request(ValueError("another")) is None
        assert ended_request(KeyError("no account")) is None

    in_new_context(test)


@pytest.mark.parametrize(
    ("record", "belongs"),
    [(line("/pay"), True), (line("/health"), False), (line("/pay", "bank"), False), (None, False)],
)
def test_a_line_of_django_about_its_answer_belongs_to_the_request(record: Any, belongs: bool) -> None:
    def test() -> None:
        end_request()
        assert (ended_request(None, record) is not None) is belongs

    in_new_context(test)


def test_nothing_belongs_to_a_request_while_a_span_is_active_or_elsewhere() -> None:
    def test() -> None:
        end_request(kind=SpanKind.CLIENT)
        assert ended_request(None, line("/pay")) is None
        end_request()
        with TracerProvider(shutdown_on_exit=False).get_tracer("t").start_as_current_span("task"):
            assert ended_request(None, line("/pay")) is None
        assert ended_request(None, line("/pay")) is not None

    in_new_context(test)
    assert ended_request(None, line("/pay")) is None
