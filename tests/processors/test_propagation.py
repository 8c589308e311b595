"""Propagated headers hold no secret, and the ids of the trace are always propagated."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry import baggage, propagate, trace
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState

from mita_otel.instrumentation.patches import Patches
from mita_otel.policy import default_policy
from mita_otel.processors.propagation import RedactedPropagator, install_propagator
from mita_otel.redaction import Redactor

CARD = "4111111111111111"


def context(state: str = "", **entries: str) -> Context:
    span = SpanContext(0xABC, 0xDEF, is_remote=False, trace_flags=TraceFlags(1), trace_state=TraceState.from_header([state]) if state else None)  # fmt: skip
    made = trace.set_span_in_context(NonRecordingSpan(span), Context())
    for name, value in entries.items():
        made = baggage.set_baggage(name, value, made)
    return made


def injected(propagator: TextMapPropagator, made: Context) -> dict[str, str]:
    carrier: dict[str, str] = {}
    propagator.inject(carrier, made)
    return carrier


def test_baggage_with_a_secret_name_or_value_is_not_sent() -> None:
    propagator = RedactedPropagator(Redactor())
    made = context(tenant="acme", card_number="zz99", note=f"card {CARD}", amount="12.50")
    carrier = injected(propagator, made)
    assert carrier["baggage"] == "tenant=acme,amount=12.50"
    assert carrier["traceparent"] == f"00-{0xABC:032x}-{0xDEF:016x}-01"
    assert propagator.withheld == 2
    assert baggage.get_all(made)["card_number"] == "zz99", "the process itself keeps what it has"


def test_headers_without_a_secret_are_unchanged() -> None:
    propagator = RedactedPropagator(Redactor())
    made = context("vendor=abc", tenant="acme")
    assert injected(propagator, made) == injected(propagator.propagator, made)
    assert propagator.fields == propagator.propagator.fields
    assert propagator.withheld == 0


def test_a_vendor_header_with_a_secret_is_not_sent() -> None:
    propagator = RedactedPropagator(Redactor())
    carrier = injected(propagator, context(f"vendor=user:{CARD}"))
    assert "tracestate" not in carrier
    assert "traceparent" in carrier


@pytest.mark.parametrize(
    ("allowed", "travels"), [(["tenant", "mita.*"], {"tenant", "mita.a"}), ([], set()), (["*"], {"tenant", "mita.a", "other"})]
)  # fmt: skip
def test_only_baggage_names_in_the_policy_are_sent(allowed: list[str], travels: set[str]) -> None:
    policy = default_policy().redaction.replace(baggage=tuple(allowed))
    carrier = injected(RedactedPropagator(policy), context(**{"tenant": "a", "mita.a": "b", "other": "c"}))
    assert {pair.split("=")[0] for pair in carrier.get("baggage", "").split(",") if pair} == travels


def test_baggage_that_cannot_be_checked_is_not_sent_but_the_ids_are(monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(self: Redactor, *args: Any) -> Any:
        raise RuntimeError

    monkeypatch.setattr(Redactor, "attributes", explode)
    monkeypatch.setattr(Redactor, "value", explode)
    carrier = injected(RedactedPropagator(Redactor()), context("vendor=abc", tenant="acme"))
    assert set(carrier) == {"traceparent"}


def test_incoming_headers_are_read_unchanged() -> None:
    propagator = RedactedPropagator(Redactor())
    carrier = {"traceparent": f"00-{0xABC:032x}-{0xDEF:016x}-01", "baggage": f"note={CARD}"}
    read = propagator.extract(carrier)
    assert baggage.get_all(read) == {"note": CARD}
    assert trace.get_current_span(read).get_span_context().trace_id == 0xABC


def test_the_global_propagator_is_restored_unless_another_one_was_set_since() -> None:
    before, patches = propagate.get_global_textmap(), Patches()
    try:
        install_propagator(ours := RedactedPropagator(Redactor(), before), patches)
        assert propagate.get_global_textmap() is ours
        patches.revert()
        assert propagate.get_global_textmap() is before
        install_propagator(RedactedPropagator(Redactor(), before), patches := Patches())
        propagate.set_global_textmap(other := RedactedPropagator(Redactor(), before))
        patches.revert()
        assert propagate.get_global_textmap() is other
    finally:
        propagate.set_global_textmap(before)
