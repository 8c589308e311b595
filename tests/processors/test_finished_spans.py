"""A rewritten span is a complete copy, and the original is unchanged."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable

import pytest
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, Span, Status, StatusCode

from mita_otel.processors.finished_spans import RewrittenSpan, estimated_bytes, with_dict_attributes


def finished_span() -> ReadableSpan:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(span_limits=SpanLimits(max_span_attributes=2), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("test", "1")
    with tracer.start_as_current_span("parent") as parent:
        span = tracer.start_span(
            "name", links=[Link(parent.get_span_context())], attributes={"a": 1, "b": 2, "c": 3}
        )
        span.add_event("event", {"x": 1})
        span.set_status(Status(StatusCode.ERROR, "bad"))
        span.end()
    return exporter.get_finished_spans()[0]


def test_a_copy_without_changes_is_equal_in_every_part() -> None:
    original = finished_span()
    assert RewrittenSpan(original).to_json() == original.to_json()
    assert RewrittenSpan(original).dropped_attributes == original.dropped_attributes == 1


def test_only_the_given_parts_are_replaced() -> None:
    original = finished_span()
    before = original.to_json()
    copy = RewrittenSpan(original, name="other", attributes={"b": 5}, events=(), status=Status(StatusCode.OK))
    assert (copy.name, dict(copy.attributes or {}), len(copy.events)) == ("other", {"b": 5}, 0)
    assert copy.status.status_code is StatusCode.OK
    assert copy.context == original.context
    assert copy.parent == original.parent
    assert original.to_json() == before


def test_dict_attributes_change_nothing_else() -> None:
    original = finished_span()
    assert with_dict_attributes(original).to_json() == original.to_json()
    assert with_dict_attributes(original).dropped_attributes == 1


def test_a_copy_reports_what_the_limits_dropped_from_the_original() -> None:
    limits = SpanLimits(max_span_attributes=1, max_events=1, max_links=1)
    exporter = InMemorySpanExporter()
    provider = TracerProvider(span_limits=limits, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("test")
    with tracer.start_as_current_span("other") as other:
        link = Link(other.get_span_context())
    with tracer.start_as_current_span("name", attributes={"a": 1, "b": 2}, links=[link] * 4) as span:
        for _ in range(3):
            span.add_event("event")
    original = exporter.get_finished_spans()[1]
    copy = RewrittenSpan(original, attributes={}, events=(), links=())
    assert (copy.dropped_attributes, copy.dropped_events, copy.dropped_links) == (1, 2, 3)


def set_texts(span: Span, number: int) -> None:
    span.set_attributes({f"name.{at}": f"value {number} \u20ac {'x' * 10 * at}" for at in range(14)})


def set_numbers(span: Span, number: int) -> None:
    span.set_attributes({f"name.{at}": 1000.5 * number + at for at in range(8)})


def set_lists(span: Span, number: int) -> None:
    span.set_attribute("names", [f"{number} of {at}" for at in range(20)])


def add_events(span: Span, number: int) -> None:
    for at in range(5):
        span.add_event("retry", {"reason": f"timeout {number} of {at}", "after_ms": number * 1.5})


def record_exception(span: Span, number: int) -> None:
    span.record_exception(ValueError(f"order {number}"))


@pytest.mark.parametrize(
    "fill", [lambda span, number: None, set_texts, set_numbers, set_lists, add_events, record_exception]
)
def test_the_estimate_is_what_python_allocates(fill: Callable[[Span, int], None]) -> None:
    """Bounds on memory, such as `sampling.max_megabytes`, rely on it."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("test")

    def end_spans() -> None:
        for number in range(300):
            with tracer.start_as_current_span("work") as span:
                fill(span, number)

    end_spans()  # one-time allocations are not measured
    exporter.clear()
    gc.collect()
    tracemalloc.start()
    try:
        end_spans()
        gc.collect()
        allocated = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    estimated = sum(map(estimated_bytes, exporter.get_finished_spans()))
    assert estimated == pytest.approx(allocated, rel=0.25)
