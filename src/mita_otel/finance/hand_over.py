"""Context from who queues a job to who works on it: the trace, and what baggage carries. For any queue."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import context, propagate
from opentelemetry.context import Context

from mita_otel.finance.facts import enter_request, leave_request


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
