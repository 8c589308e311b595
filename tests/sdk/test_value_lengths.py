"""OpenTelemetry's length limits apply after redaction, for any provider."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry._logs import LogRecord
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider

from mita_otel import configure
from mita_otel._otel_compat.logs import log_record_length_limits
from mita_otel.exporters.memory import MemorySpanExporter
from mita_otel.policy import default_policy
from mita_otel.processors.log_redaction import LogRedactionProcessor
from mita_otel.processors.providers import GuardedLoggerProvider, IssuedHandles
from mita_otel.redaction import Redactor

pytestmark = pytest.mark.usefixtures("isolated_telemetry")

CARD = "4111111111111111"
KEY = "sk_" + "live_a1b2c3d4e5f6g7h8i9j0k1l2"
TEXTS = (f"order 7 was paid with {CARD} by ada", f"the key of the shop is {KEY} and it is old", "z" * 99)


def shown_for(length: int) -> list[str]:
    """Record each text in a span, its events and its links, and return the exported values."""
    memory = MemorySpanExporter()
    telemetry = configure(policy=default_policy("development"), exporters=[memory])
    links = [trace.Link(trace.SpanContext(1, 1, is_remote=False), {"note": text}) for text in TEXTS]
    with trace.get_tracer("t").start_as_current_span("work", links=links) as span:
        for number, text in enumerate(TEXTS):
            span.set_attribute(f"note.{number}", text)
            span.add_event("e", {"note": text})
    telemetry.shutdown()
    [seen] = memory.spans
    values: list[Any] = [value for key, value in (seen.attributes or {}).items() if key.startswith("note")]
    described: tuple[Any, ...] = (*seen.events, *seen.links)
    return [*values, *(of.attributes["note"] for of in described)]


def longest_part(secret: str, text: str) -> int:
    """Return the length of the longest part of a secret in a text."""
    parts = ((i, j) for i in range(len(secret)) for j in range(i + 1, len(secret) + 1))
    return max((j - i for i, j in parts if secret[i:j] in text), default=0)


@pytest.mark.parametrize("length", range(24, 46, 3))
@pytest.mark.parametrize("variable", ["OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "a host's provider"])
def test_no_length_limit_leaves_a_part_of_a_secret(
    monkeypatch: pytest.MonkeyPatch, variable: str, length: int
) -> None:
    if variable.startswith("OTEL"):
        monkeypatch.setenv(variable, str(length))
    else:
        trace.set_tracer_provider(
            TracerProvider(span_limits=SpanLimits(max_attribute_length=length), shutdown_on_exit=False)
        )
    values = shown_for(length)
    assert len(values) == 9
    for value in values:
        assert longest_part(CARD, value) < 8, value
        assert longest_part(KEY, value) < 8, value
        assert value.startswith(("order 7 was paid with ", "the key of the shop is ", "z" * length)), value
    assert values[2] == "z" * length


def test_a_long_route_has_its_limit_despite_a_length_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "64")
    route = "/api/v1/" + "very-long-name-of-a-collection/" * 3 + "{number}"
    defaults = default_policy("development")
    api = defaults.thresholds.api.replace(routes={f"GET {route}": 0.001})
    memory = MemorySpanExporter()
    telemetry = configure(
        policy=defaults.replace(thresholds=defaults.thresholds.replace(api=api)), exporters=[memory]
    )
    attributes = {"http.request.method": "GET", "http.route": route}
    with trace.get_tracer("t").start_as_current_span(
        "GET", kind=trace.SpanKind.SERVER, attributes=attributes
    ):
        pass
    telemetry.shutdown()
    [seen] = memory.spans
    assert seen.attributes is not None
    assert seen.attributes["mita.latency.rule"] == f"api.routes.GET {route}"
    assert seen.attributes["http.route"] == route[:64]


@pytest.mark.parametrize("ours", [True, False])
def test_log_records_are_truncated_after_redaction(monkeypatch: pytest.MonkeyPatch, ours: bool) -> None:
    monkeypatch.setenv("OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT", "30")
    exporter = InMemoryLogRecordExporter()
    provider = (
        GuardedLoggerProvider(IssuedHandles(), resource=Resource({}), recorded_length=4096)
        if ours
        else LoggerProvider(shutdown_on_exit=False)
    )
    lengths = log_record_length_limits(provider)
    provider.add_log_record_processor(
        LogRedactionProcessor(Redactor(), SimpleLogRecordProcessor(exporter), recorded_lengths=lengths)
    )
    provider.get_logger("l").emit(LogRecord(body="b" * 99, attributes=dict(zip("abc", TEXTS, strict=True))))
    [record] = [one.log_record for one in exporter.get_finished_logs()]
    assert record.body == "b" * 99  # OpenTelemetry limits attributes only
    assert record.attributes is not None
    assert record.attributes["c"] == "z" * 30
    assert all(longest_part(secret, str(record.attributes)) < 8 for secret in (CARD, KEY))
