"""The end of a value that the SDK truncated is redacted if it may be part of a secret."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from mita_otel.processors.redaction import RedactionProcessor, TruncatedValues
from mita_otel.redaction import Redactor

CARD = "4111111111111111"


@pytest.mark.parametrize(
    ("whole", "shown"),
    [
        (f"paid with card {CARD} today", "paid with card [redacted:length]"),
        ("paid with card 4111 1111 1111 1111", "paid with card [redacted:length]"),
        ("authorization is eyJ" + "hbGciOiJIUzI1NiJ9", "authorization is [redacted:length]"),
        ("the key is sk_" + "live_a1b2c3d4e5f6", "the key is [redacted:length]"),
        ("a sentence of plain words that is long", "a sentence of plain words that is lon"[:26]),
        ("card 411111 and then others", "card 411111 and then other"),
    ],
)
def test_an_end_that_may_be_part_of_a_secret_is_redacted(whole: str, shown: str) -> None:
    tally: Counter[str] = Counter()
    cut = whole[:26]
    assert TruncatedValues(26, None).redacted({"a": cut, "l": [cut, 5]}, tally) == {
        "a": shown,
        "l": [shown, 5],
    }
    assert tally["length"] == (0 if shown == cut else 2)


def test_without_a_limit_values_are_unchanged() -> None:
    attributes: dict[str, Any] = {"a": "4111111"}
    assert TruncatedValues(None).redacted(attributes, Counter()) is attributes
    assert TruncatedValues(8).redacted(attributes, Counter()) == attributes
    assert TruncatedValues(8).redacted(None, Counter()) == {}


def test_a_span_truncated_by_the_sdk_holds_no_part_of_a_card_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "26")
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(RedactionProcessor(Redactor(), SimpleSpanProcessor(exporter)))
    with provider.get_tracer("t").start_as_current_span("s") as span:
        span.set_attribute("note", f"paid with card {CARD} today")
        span.add_event("e", {"note": f"paid with card {CARD} today"})
    [seen] = exporter.get_finished_spans()
    assert seen.attributes is not None
    assert seen.attributes["note"] == "paid with card [redacted:length]"
    assert seen.attributes["mita.redacted.rules"] == ("length:2",)
    assert dict(seen.events[0].attributes or {}) == {"note": "paid with card [redacted:length]"}
