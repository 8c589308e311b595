"""One value that OTLP cannot encode is replaced; the rest of its batch is sent unchanged."""

from __future__ import annotations

import datetime as dt
import decimal
import json
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from opentelemetry._logs import LogRecord
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.metrics import Meter
from opentelemetry.sdk._logs import LoggerProvider, ReadableLogRecord
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Span, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext, StatusCode

from mita_otel._json import json_bytes
from mita_otel.policy import default_policy
from mita_otel.processors.finished_spans import span_json
from mita_otel.processors.log_redaction import LogRedactionProcessor
from mita_otel.processors.metric_redaction import redact_reader
from mita_otel.processors.redaction import RedactionProcessor
from mita_otel.redaction import Redactor

BAD, GOOD = "A\ud800B", "A\ufffdB"
REDACTORS = {
    "redaction on": Redactor(),
    "redaction off": Redactor(default_policy().redaction.replace(enabled=False)),
}
LINKED = SpanContext(1, 2, is_remote=True)


def exported(redactor: Redactor, change: Callable[[Span], Any], resource: Mapping[str, Any]) -> Any:
    """Return an OTLP request with two spans, of which the first was changed."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource(resource), shutdown_on_exit=False)
    provider.add_span_processor(RedactionProcessor(redactor, SimpleSpanProcessor(exporter)))
    tracer = provider.get_tracer("test")
    with tracer.start_as_current_span("first") as span:
        assert isinstance(span, Span)
        change(span)
    tracer.start_span("second").end()
    spans = exporter.get_finished_spans()
    provider.shutdown()
    for one in spans:
        json.loads(json_bytes(span_json(one)))
    return MessageToDict(encode_spans(spans))["resourceSpans"]


SPANS: dict[str, Callable[[Span], Any]] = {
    "name": lambda span: span.update_name(BAD),
    "status": lambda span: span.set_status(StatusCode.ERROR, BAD),
    "attribute": lambda span: span.set_attribute("note", BAD),
    "attribute's name": lambda span: span.set_attribute(BAD, "note"),
    "attribute in a list": lambda span: span.set_attribute("notes", ["fine", BAD]),
    "statement": lambda span: span.set_attribute("db.query.text", f"SELECT 1 -- {BAD}"),
    "event": lambda span: span.add_event(BAD),
    "event's attribute": lambda span: span.add_event("said", {BAD: BAD}),
    "exception": lambda span: span.record_exception(ValueError(BAD)),
    "link's attribute": lambda span: span.add_link(LINKED, {"note": BAD}),
}


@pytest.mark.parametrize("redactor", REDACTORS.values(), ids=REDACTORS.keys())
@pytest.mark.parametrize("change", SPANS.values(), ids=SPANS.keys())
def test_a_lone_surrogate_in_a_span_is_replaced(change: Callable[[Span], Any], redactor: Redactor) -> None:
    resource = {"deployment": BAD}
    (sent,) = exported(redactor, change, resource)
    assert len([span for scope in sent["scopeSpans"] for span in scope["spans"]]) == 2
    assert {"key": "deployment", "value": {"stringValue": GOOD}} in sent["resource"]["attributes"]
    assert GOOD in json.dumps(sent["scopeSpans"], ensure_ascii=False)


@pytest.mark.parametrize("redactor", REDACTORS.values(), ids=REDACTORS.keys())
@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**5000], ids=["above", "below", "huge"])
def test_an_integer_beyond_64_bits_in_a_span_becomes_text(redactor: Redactor, number: int) -> None:
    def change(span: Span) -> None:
        span.set_attribute("number", number)
        span.set_attribute("numbers", [1, number])
        span.add_event("said", {"number": number})

    (sent,) = exported(redactor, change, {"number": number})
    text = str(number) if number < 10**4000 else "[redacted:number]"
    assert json.dumps(sent).count(json.dumps({"stringValue": text})) == 4


@pytest.mark.parametrize("redactor", REDACTORS.values(), ids=REDACTORS.keys())
@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (BAD, GOOD),
        ({BAD: [BAD]}, GOOD),
        ([{"n": 2**64}], str(2**64)),
        (decimal.Decimal("1.50"), "1.50"),
        ({"day": dt.date(2026, 1, 2)}, "2026-01-02"),
        ([uuid.UUID(int=5)], str(uuid.UUID(int=5))),
    ],
)
def test_the_body_of_a_log_record_is_encodable(redactor: Redactor, body: Any, shown: str) -> None:
    exporter = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(LogRedactionProcessor(redactor, SimpleLogRecordProcessor(exporter)))
    record = LogRecord(body=body, event_name=BAD, severity_text=BAD, attributes={"note": body})
    provider.get_logger("test").emit(record)
    (emitted,) = exporter.get_finished_logs()
    provider.shutdown()
    readable = ReadableLogRecord(emitted.log_record, emitted.resource, emitted.instrumentation_scope)
    sent = MessageToDict(encode_logs([readable]))["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]
    assert shown in json.dumps(sent["body"], ensure_ascii=False)
    assert (sent["eventName"], sent["severityText"]) == (GOOD, GOOD)


METRICS: dict[str, Callable[[Meter], Any]] = {
    "counter": lambda meter: meter.create_counter("n").add(2**70, {BAD: BAD, "big": 2**64}),
    "up-down counter": lambda meter: meter.create_up_down_counter("n").add(-(2**70)),
    "gauge": lambda meter: meter.create_gauge("n").set(2**70),
    "histogram": lambda meter: meter.create_histogram("n").record(2**70),
    "exponential histogram": lambda meter: meter.create_histogram("e").record(2**70),
    "description": lambda meter: meter.create_counter("n", description=BAD).add(1),
}


@pytest.mark.parametrize("redactor", REDACTORS.values(), ids=REDACTORS.keys())
@pytest.mark.parametrize("record", METRICS.values(), ids=METRICS.keys())
def test_a_measurement_that_otlp_cannot_encode_does_not_stop_the_others(
    record: Callable[[Meter], Any], redactor: Redactor
) -> None:
    reader = InMemoryMetricReader()
    redact_reader(redactor, reader)
    views = [View(instrument_name="e", aggregation=ExponentialBucketHistogramAggregation())]
    provider = MeterProvider([reader], views=views, shutdown_on_exit=False)
    record(provider.get_meter("test"))
    provider.get_meter("test").create_counter("other").add(1)
    data = reader.get_metrics_data()
    provider.shutdown()
    assert data is not None
    (sent,) = MessageToDict(encode_metrics(data))["resourceMetrics"]
    names = [metric["name"] for scope in sent["scopeMetrics"] for metric in scope["metrics"]]
    assert "other" in names
    assert {"n", "e"} & set(names)
