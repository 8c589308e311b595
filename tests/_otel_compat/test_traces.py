"""Private names of providers of spans, tracers and clocks."""

from __future__ import annotations

import pytest
from opentelemetry._logs import LogRecord
from opentelemetry.sdk.trace import (
    ConcurrentMultiSpanProcessor,
    ReadableSpan,
    SpanLimits,
    SpanProcessor,
    Tracer,
    TracerProvider,
)

from mita_otel._otel_compat.traces import (
    move_tracer,
    put_in_front,
    set_clock,
    span_length_limits,
    unwrap_provider,
)


class Recording(SpanProcessor):
    def __init__(self) -> None:
        self.names: list[str] = []

    def on_end(self, span: ReadableSpan) -> None:
        self.names.append(span.name)


def test_the_length_limits_of_a_provider_are_read() -> None:
    spans = TracerProvider(
        span_limits=SpanLimits(max_attribute_length=7, max_span_attribute_length=9), shutdown_on_exit=False
    )
    assert span_length_limits(spans) == (9, 7)


@pytest.mark.parametrize("concurrent", [False, True])
def test_put_in_front_receives_spans_for_earlier_and_later_processors(concurrent: bool) -> None:
    before, later, front = Recording(), Recording(), Recording()
    seen: list[tuple[SpanProcessor, ...]] = []
    added: list[SpanProcessor] = []
    multi = ConcurrentMultiSpanProcessor() if concurrent else None
    provider = TracerProvider(active_span_processor=multi, shutdown_on_exit=False)
    provider.add_span_processor(before)
    tracer = provider.get_tracer("early")

    def build(present: tuple[SpanProcessor, ...]) -> SpanProcessor:
        seen.append(present)
        return front

    put_back = put_in_front(provider, build, added.append)
    provider.add_span_processor(later)
    tracer.start_span("span").end()
    assert seen == [(before,)]
    assert added == [later]
    assert (front.names, before.names, later.names) == (["span"], [], [])
    put_back([before, later])
    tracer.start_span("after").end()
    assert (front.names, before.names, later.names) == (["span"], ["after"], ["after"])


def test_a_wrapped_provider_is_found_and_a_foreign_one_is_not() -> None:
    provider = TracerProvider(shutdown_on_exit=False)

    class Proxy:
        def __init__(self, provider: object) -> None:
            self.provider = provider

    assert unwrap_provider(provider) is provider
    assert unwrap_provider(Proxy(provider)) is provider
    assert unwrap_provider(object()) is None


def test_a_tracer_moves_to_another_provider() -> None:
    before, after = TracerProvider(shutdown_on_exit=False), TracerProvider(shutdown_on_exit=False)
    recording = Recording()
    after.add_span_processor(recording)
    tracer = before.get_tracer("t")
    assert isinstance(tracer, Tracer)
    move_tracer(tracer, after)
    tracer.start_span("moved").end()
    assert recording.names == ["moved"]


def test_spans_and_log_records_use_the_given_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    set_clock(lambda: 42, monkeypatch.setattr)
    span = TracerProvider(shutdown_on_exit=False).get_tracer("t").start_span("x")
    span.add_event("e")
    span.end()
    assert isinstance(span, ReadableSpan)
    assert (span.start_time, span.events[0].timestamp, span.end_time) == (42, 42, 42)
    assert LogRecord(body="x").observed_timestamp == 42
