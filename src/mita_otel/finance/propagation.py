"""Baggage: what travels to other services beside the trace, and what is taken from them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import baggage, context, propagate
from opentelemetry.context import Context

from mita_otel import semconv
from mita_otel.finance.facts import Facts, enter_request, leave_request
from mita_otel.policy.finance import BaggagePolicy


def with_baggage(facts: Facts, within: Context, policy: BaggagePolicy) -> Context:
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


def received_baggage(name: str, policy: BaggagePolicy) -> str | None:
    """Return what another service sent under a name, if the policy takes it. As trustworthy as a `traceparent`."""
    if name not in policy.accept:
        return None
    value = baggage.get_baggage(name)
    usable = isinstance(value, str) and 0 < len(value) <= policy.max_length and value.isprintable()
    return str(value) if usable else None


def context_to_carry() -> dict[str, str]:
    """Return the current context as a few short texts, to be put beside a job, as in `traceparent`."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return carrier


@contextmanager
def continue_context(carrier: Mapping[str, str] | None) -> Iterator[None]:
    """Work on a job in the context that it was queued in.

    Nothing else is known inside: what the worker's last job said of user or transaction is not there, and what
    this one says ends with it.

    Args:
        carrier: What `context_to_carry` returned. None: the job begins a trace of its own.

    Example:
        >>> queue.put({"payment": payment.id, "context": context_to_carry()})
        >>> job = queue.get()
        >>> with continue_context(job["context"]):
        ...     settle(job["payment"])
    """
    token = context.attach(propagate.extract(carrier or {}, context=Context()))
    request_token = enter_request(None)  # a worker may have been started by a request
    try:
        yield
    finally:
        leave_request(request_token)
        context.detach(token)
