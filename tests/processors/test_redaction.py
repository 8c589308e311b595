"""Every part of a span is redacted; a span without a secret is unchanged; redaction fails closed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    TraceState,
)

from mita_otel import semconv
from mita_otel.policy import default_policy
from mita_otel.processors.redaction import RedactionProcessor
from mita_otel.redaction import Redactor

CARD = "4111111111111111"


class Collected(SpanProcessor):
    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        self.spans.append(span)


class Broken(Redactor):
    def text(self, text: str, tally: Any = None) -> str:
        raise RuntimeError(text)


@pytest.fixture
def collected() -> Collected:
    return Collected()


@pytest.fixture
def provider(collected: Collected) -> Iterator[TracerProvider]:
    resource = Resource({"service.name": "pay", "db.password": "hunter2x", "note": f"card {CARD}"})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(RedactionProcessor(default_policy().redaction, collected))
    yield provider
    provider.shutdown()


@pytest.fixture
def tracer(provider: TracerProvider) -> Tracer:
    return provider.get_tracer("app", "1.0", attributes={"token": "zz81"})


def test_every_part_of_a_span_is_redacted(tracer: Tracer, collected: Collected) -> None:
    link = Link(SpanContext(1, 2, is_remote=True, trace_flags=TraceFlags(1)), {"cvv": "7-4-1"})
    with tracer.start_as_current_span(f"GET /cards/{CARD}", links=[link]) as span:
        span.set_attributes(
            {"http.url": "https://u:hunter2x@h/?token=zz81", "db.statement": "SELECT 'hidden'", "ok": 1}
        )
        span.add_event(f"charge {CARD}", {"pin": 482_148_214_821})
        span.record_exception(ValueError(f"card {CARD}"))
        span.set_status(Status(StatusCode.ERROR, f"declined {CARD}"))
    (redacted,) = collected.spans
    shown = redacted.to_json()
    for secret in (CARD, "hunter2x", "zz81", "hidden", "7-4-1", "482148214821"):
        assert secret not in shown
    assert redacted.name == "GET /cards/[redacted:pan]"
    assert redacted.attributes is not None
    assert redacted.attributes["db.statement"] == "SELECT ?"
    assert redacted.attributes["ok"] == 1
    assert redacted.status.description == "declined [redacted:pan]"
    assert redacted.resource.attributes["service.name"] == "pay"
    assert redacted.instrumentation_scope is not None
    assert redacted.instrumentation_scope.name == "app"


def test_the_tracestate_of_a_caller_is_redacted(tracer: Tracer, collected: Collected) -> None:
    state = TraceState([("ot", "th:8"), ("vendor", f"card:{CARD}"), ("token", "zz81hh42")])
    caller = SpanContext(1, 2, is_remote=True, trace_flags=TraceFlags(1), trace_state=state)
    parent = trace.set_span_in_context(NonRecordingSpan(caller))
    tracer.start_span("charge", parent, links=[Link(caller)]).end()
    (redacted,) = collected.spans
    for context in (redacted.context, redacted.links[0].context):
        assert context is not None
        assert dict(context.trace_state) == {"ot": "th:8"}
    assert redacted.attributes is not None
    assert redacted.attributes[semconv.REDACTED] == 4


def test_the_span_records_the_number_of_redacted_values_by_rule(tracer: Tracer, collected: Collected) -> None:
    with tracer.start_as_current_span("charge") as span:
        span.set_attributes({"password": "a1", "note": f"{CARD} and {CARD}"})
    attributes = collected.spans[0].attributes
    assert attributes is not None
    assert attributes[semconv.REDACTED] == 3
    assert attributes[semconv.REDACTED_RULES] == ("pan:2", "password:1")


def test_a_statement_without_literals_is_not_marked_as_redacted(tracer: Tracer, collected: Collected) -> None:
    statement = {"db.system": "sqlite", "db.query.text": "SELECT id FROM payments WHERE id = ?"}
    tracer.start_span("SELECT payments", attributes=statement).end()
    assert collected.spans[0].attributes == statement


def test_ids_times_kind_and_limits_are_those_of_the_original(tracer: Tracer, collected: Collected) -> None:
    with tracer.start_as_current_span("charge", attributes={"password": "a1"}) as span:
        context = span.get_span_context()
    copy = collected.spans[0]
    assert copy.context == context
    assert (copy.start_time, copy.end_time) == (span.start_time, span.end_time)  # type: ignore[attr-defined]
    assert copy.dropped_attributes == 0


def test_a_span_without_a_secret_is_passed_on_unchanged(collected: Collected) -> None:
    provider = TracerProvider(resource=Resource({"service.name": "pay"}), shutdown_on_exit=False)
    seen = Collected()
    provider.add_span_processor(seen)
    provider.add_span_processor(RedactionProcessor(default_policy().redaction, collected))
    with provider.get_tracer("app").start_as_current_span(
        "GET /ok", attributes={"http.route": "/ok", "n": 3}
    ):
        pass
    assert collected.spans[0] is seen.spans[0]
    provider.shutdown()


def test_the_original_is_not_changed(provider: TracerProvider, tracer: Tracer) -> None:
    seen = Collected()
    provider.add_span_processor(seen)
    with tracer.start_as_current_span("charge", attributes={"password": "a1"}):
        pass
    assert seen.spans[0].attributes == {"password": "a1"}


def test_a_span_that_cannot_be_redacted_keeps_ids_times_and_status_only(
    collected: Collected, caplog: pytest.LogCaptureFixture
) -> None:
    provider = TracerProvider(resource=Resource({"note": CARD}), shutdown_on_exit=False)
    processor = RedactionProcessor(Broken(default_policy().redaction), collected)
    provider.add_span_processor(processor)
    with provider.get_tracer(CARD).start_as_current_span(CARD, attributes={"n": CARD}) as span:
        span.add_event(CARD)
        span.set_status(Status(StatusCode.ERROR, CARD))
    (stripped,) = collected.spans
    assert CARD not in stripped.to_json()
    assert stripped.context == span.get_span_context()
    assert stripped.status.status_code is StatusCode.ERROR
    assert stripped.attributes == {semconv.REDACTED: 1, semconv.REDACTED_RULES: ("error:1",)}
    assert json.loads(stripped.to_json())["events"] == []
    assert processor.failures == 1
    assert CARD not in caplog.text
    provider.shutdown()


def test_redacting_a_span_twice_changes_nothing_more(collected: Collected) -> None:
    policy = default_policy().redaction
    provider = TracerProvider(resource=Resource({"k": 1}), shutdown_on_exit=False)
    once = Collected()
    provider.add_span_processor(RedactionProcessor(policy, once))
    with provider.get_tracer("app").start_as_current_span(
        CARD, attributes={"password": "a1", "q": "?token=zz81"}
    ):
        pass
    RedactionProcessor(policy, collected).on_end(once.spans[0])
    assert collected.spans[0] is once.spans[0]
    provider.shutdown()


def test_a_secret_found_in_one_part_is_redacted_in_the_other_parts(
    tracer: Tracer, collected: Collected
) -> None:
    with tracer.start_as_current_span("login hunter2-Zx") as span:
        span.add_event("typed hunter2-Zx", {"row": ("ada", "hunter2-Zx")})
        span.set_status(Status(StatusCode.ERROR, "refused hunter2-Zx"))
        span.set_attributes({"before": "hunter2-Zx", "user.password": "hunter2-Zx", "db.host": "db1"})
    assert "hunter2-Zx" not in collected.spans[0].to_json()
    assert collected.spans[0].attributes[semconv.REDACTED_RULES] == ("password:6",)  # type: ignore[index]


def test_a_secret_of_a_trace_is_redacted_in_its_earlier_and_later_spans(
    tracer: Tracer, collected: Collected
) -> None:
    processor = RedactionProcessor(default_policy().redaction, collected)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(processor)
    with provider.get_tracer("t").start_as_current_span("root", attributes={"note": "hunter2-Zx"}) as root:
        for name, value in (("note", "hunter2-Zx"), ("password", "hunter2-Zx"), ("last", "x hunter2-Zx")):
            with provider.get_tracer("t").start_as_current_span("child", attributes={name: value}):
                pass
        root.set_attribute("card", f"card {CARD}")
    provider.shutdown()
    first, second, third, last = collected.spans
    assert first.attributes == {"note": "hunter2-Zx"}
    assert all("hunter2-Zx" not in span.to_json() for span in (second, third, last))
    safe = processor.again(first)
    assert safe is not None and "hunter2-Zx" not in safe.to_json()
    again = processor.again(last)
    assert again is not None and again.attributes == last.attributes


def test_a_name_that_a_package_takes_from_a_statement_holds_no_literal(
    provider: TracerProvider, collected: Collected
) -> None:
    tracer = provider.get_tracer("opentelemetry.instrumentation.psycopg")
    statement = "SELECT'a gift from Hunter2secret' FROM gifts"
    attributes = {"db.system": "postgresql", "db.statement": statement, "db.operation": "SELECT'a"}
    tracer.start_span("SELECT'a bank", attributes=attributes).end()
    [span] = collected.spans
    assert span.name == "SELECT gifts"
    assert (span.attributes or {})["db.operation"] == "SELECT"
