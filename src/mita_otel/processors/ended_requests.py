"""Remembers the request that ended last on a thread or task, for log records with which a framework reports it afterwards.

Django logs each answer with status 5xx, and aiohttp and servers of WSGI an exception, when the span of the request has ended.
Such a record has no trace, and the error is known already.
"""

from __future__ import annotations

import logging
from contextvars import ContextVar
from typing import Final, NamedTuple

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind

from mita_otel import semconv

_DJANGO: Final = "django.request"
"""The logger of Django's lines about answers. Its records have the request and its status."""


class EndedRequest(NamedTuple):
    """A request whose span has ended."""

    trace_id: int
    span_id: int
    path: str
    errors: frozenset[tuple[str, str]]
    """Type and message of the exceptions on its span."""


_last: Final[ContextVar[EndedRequest | None]] = ContextVar("mita_otel_ended_request", default=None)


def remember_end(span: ReadableSpan) -> None:
    """Remember a request whose span ends on this thread or task."""
    if span.kind is not SpanKind.SERVER or span.context is None:
        return
    path = semconv.first(span.attributes or {}, semconv.HTTP_PATH)
    errors = frozenset(
        (str(of.get(semconv.EXCEPTION_TYPE)).rpartition(".")[2], str(of.get(semconv.EXCEPTION_MESSAGE)))
        for event in span.events
        if event.name == semconv.EXCEPTION_EVENT and (of := event.attributes or {})
    )
    _last.set(
        EndedRequest(span.context.trace_id, span.context.span_id, str(path or "").partition("?")[0], errors)
    )


def ended_request(exception: BaseException | None, record: object = None) -> EndedRequest | None:
    """Return the request that has just ended on this thread or task and that an error belongs to, or None.

    Args:
        exception: The error. It belongs to the request if it is on its span.
        record: The log record that reports it. Without an exception it belongs to the request if Django logged the answer.
    """
    ended = _last.get()
    if ended is None or trace.get_current_span().get_span_context().is_valid:
        return None
    if exception is not None:
        return ended if (type(exception).__name__, str(exception)) in ended.errors else None
    if not isinstance(record, logging.LogRecord) or record.name != _DJANGO:
        return None
    return ended if getattr(getattr(record, "request", None), "path", None) == ended.path else None
