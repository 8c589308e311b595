"""Baggage: what travels to other services beside the trace, and what is taken from them."""

from __future__ import annotations

from opentelemetry import baggage
from opentelemetry.context import Context

from mita_otel import semconv
from mita_otel.finance.facts import Facts
from mita_otel.policy.finance import BaggagePolicy


def carry(facts: Facts, within: Context, policy: BaggagePolicy) -> Context:
    """Return the context with the baggage that the policy allows of these facts."""
    known, shared = facts.attributes, facts.shared
    for name in policy.send:
        attribute = semconv.OPERATION_PART_OF if name == semconv.OPERATION else name
        value = known.get(attribute)
        if value is None and shared is not None:
            value = shared.facts.attributes.get(attribute)
        if (
            value is not None
            and len(value) <= policy.max_length
            and baggage.get_baggage(name, within) != value
        ):
            within = baggage.set_baggage(name, value, within)
    return within


def brought(name: str, policy: BaggagePolicy) -> str | None:
    """Return what another service sent under a name, if the policy takes it. As trustworthy as a `traceparent`."""
    if name not in policy.accept:
        return None
    value = baggage.get_baggage(name)
    usable = isinstance(value, str) and 0 < len(value) <= policy.max_length and value.isprintable()
    return str(value) if usable else None
