"""Values are cut after redaction; the end of one that the SDK cut before is redacted if it may be part of a secret."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from mita_otel.processors.redaction import RedactionProcessor
from mita_otel.processors.value_lengths import ValueLengths
from mita_otel.redaction import Redactor

CARD = "4111111111111111"


@pytest.mark.parametrize(
    ("whole", "shown"),
    [
        (f"paid with card {CARD} today", "paid with card [redacted:length]"),
        ("paid with card 4111 1111 1111 1111", "paid with card [redacted:length]"),
        ("authorization is eyJ" + "hbGciOiJIUzI1NiJ9", "authorization is [redacted:length]"),
        ("the key is sk_" + "live_a1b2c3d4e5f6", "the key is [redacted:length]"),
        ("IBAN: DE89 3704 0044 0532 0130 00", "IBAN: [redacted:length]"),
        ("the card is 4111:1111:1111:1111", "the card is [redacted:length]"),
        ("the ssn of bob a: 078.05.1120", "the ssn of bob a: [redacted:length]"),
        ('password "correct horse battery"', 'password "[redacted:length]'),
        ("a sentence of plain words that is long", "a sentence of plain words that is lon"[:26]),
        ("card 411111 and then others", "card 411111 and then other"),
    ],
)
def test_an_end_that_may_be_part_of_a_secret_is_redacted(whole: str, shown: str) -> None:
    tally: Counter[str] = Counter()
    cut = whole[:26]
    assert ValueLengths(26, None, find=Redactor().find).redacted_ends({"a": cut, "l": [cut, 5]}, tally) == {
        "a": shown,
        "l": [shown, 5],
    }
    assert tally["length"] == (0 if shown == cut else 2)


def test_without_a_limit_values_are_unchanged() -> None:
    attributes: dict[str, Any] = {"a": "4111111"}
    assert ValueLengths(None).redacted_ends(attributes, Counter()) is attributes
    assert ValueLengths(8).redacted_ends(attributes, Counter()) == attributes
    assert ValueLengths(8).redacted_ends(None, Counter()) == {}


@pytest.mark.parametrize(
    ("value", "cut"),
    [
        ("x" * 80, "x" * 20),
        (f"paid {'x' * 9} {CARD} and more", "paid xxxxxxxxx "),  # not a part of a marker
        (["short", "y" * 80], ("short", "y" * 20)),
        (
            "cvv=123 and pin=4567",
            "cvv=[redacted:cvv] and pin=[redacted:pin]",
        ),  # longer only because of its marker
        (7, 7),
    ],
)
def test_values_are_cut_after_redaction(monkeypatch: pytest.MonkeyPatch, value: Any, cut: Any) -> None:
    monkeypatch.setenv("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "20")
    exporter = InMemorySpanExporter()
    provider = TracerProvider(
        shutdown_on_exit=False,
        span_limits=SpanLimits(
            max_attribute_length=SpanLimits.UNSET, max_span_attribute_length=SpanLimits.UNSET
        ),
    )
    provider.add_span_processor(
        RedactionProcessor(Redactor(), SimpleSpanProcessor(exporter), recorded_lengths=(None,))
    )
    other = trace.SpanContext(1, 1, is_remote=False)
    with provider.get_tracer("t").start_as_current_span(
        "s", links=[trace.Link(other, {"note": value})]
    ) as span:
        span.set_attributes({"note": value, "mita.rule": "z" * 80})
        span.add_event("e", {"note": value})
    [seen] = exporter.get_finished_spans()
    described: tuple[Any, ...] = (seen, *seen.events, *seen.links)
    assert [of.attributes["note"] for of in described] == [cut] * 3
    assert (seen.attributes or {})["mita.rule"] == "z" * 80


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
