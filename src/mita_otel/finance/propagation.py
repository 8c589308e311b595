"""Context propagation: baggage between services, and the context of queued jobs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import baggage, context, propagate
from opentelemetry.context import Context

from mita_otel import semconv
from mita_otel.finance.facts import Facts, enter_request, leave_request
from mita_otel.policy.finance import BaggagePolicy


def with_baggage(facts: Facts, within: Context, policy: BaggagePolicy) -> Context:
    """Return the context with the baggage that the policy sends."""
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
    """Return the baggage of another service, if the policy accepts the name.

    It is as trustworthy as a `traceparent`.
    """
    if name not in policy.accept:
        return None
    value = baggage.get_baggage(name)
    usable = isinstance(value, str) and 0 < len(value) <= policy.max_length and value.isprintable()
    return str(value) if usable else None


def context_to_carry() -> dict[str, str]:
    """Return the current context as a carrier of short texts, such as `traceparent`, to store with a job."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return carrier


@contextmanager
def continue_context(carrier: Mapping[str, str] | None) -> Iterator[None]:
    """Run a job in the context in which it was queued.

    The user and the transaction of the worker's previous job do not apply inside, and those of this job end with
    it.

    Args:
        carrier: The result of `context_to_carry`. None: the job starts a new trace.

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
