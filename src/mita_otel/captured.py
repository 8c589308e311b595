"""Marks on exceptions: which event one became, and the request it ended. An exception is reported once.

The same exception comes by many places: the decorator around an operation, the framework, a log line, the server.
The first report leaves its event's id on the object, where the others find it. An object that is raised again
in another trace, as some services keep one for all requests, is another error.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from opentelemetry import trace

RECORD_MARK: Final = "__mita_event_id__"
"""Attribute of a log record with the id of the event that it became."""
_existing: Final[ContextVar[str]] = ContextVar("mita_otel_existing_issue", default="")
_MARK: Final = "__mita_event_id__"
"""The event's id, and the trace that the exception was reported in; 0 outside of any."""
_REQUEST: Final = "__mita_request__"
_DROPPED: Final = "__mita_dropped__"
"""The trace in which a client dropped the exception; 0 outside of any."""


def mark_record(record: logging.LogRecord, event_id: str) -> None:
    """Remember which event a log record became, for other handlers of the record."""
    vars(record)[RECORD_MARK] = event_id


def is_reported(record: object) -> bool:
    """Return whether a log record became an event."""
    return RECORD_MARK in getattr(record, "__dict__", {})


@contextmanager
def issue_exists(event_id: str) -> Iterator[None]:
    """Emit the log record of an error that is an issue in Sentry already."""
    token = _existing.set(event_id)
    try:
        yield
    finally:
        _existing.reset(token)


def is_existing_issue(event_id: object) -> bool:
    """Return whether the event that is emitted here is an issue in Sentry already."""
    return bool(event_id) and _existing.get() == event_id


def event_id_of(exception: BaseException) -> str | None:
    """Return the id of the event that the exception became, or None.

    A group that was not reported itself counts as reported when all its members are; its id is the first one's.
    """
    event_id = _standing(exception, _trace_id())
    if event_id is None and isinstance(exception, BaseExceptionGroup):
        members = [event_id_of(member) for member in exception.exceptions]
        event_id = members[0] if all(members) else None
    return event_id


def mark(exception: BaseException, event_id: str) -> str:
    """Remember which event the exception became, also where its class forbids attributes (a frozen dataclass).

    Returns:
        The exception's event id: this one, or the one that was there before.
    """
    trace_id = _trace_id()
    own = (event_id, trace_id)
    first = vars(exception).setdefault(_MARK, own)
    if first is own or (standing := _standing(exception, trace_id)) is None:
        vars(exception)[_MARK] = own
        return event_id
    return standing


def mark_dropped(exception: BaseException) -> None:
    """Remember that a Sentry client dropped the exception in this trace."""
    vars(exception)[_DROPPED] = _trace_id()


def is_dropped(exception: BaseException) -> bool:
    """Return whether a Sentry client dropped the exception in this trace."""
    return vars(exception).get(_DROPPED) == _trace_id()


def request_of(exception: BaseException) -> Mapping[str, Any] | None:
    """Return what is known of the request that the exception ended, or None."""
    request = vars(exception).get(_REQUEST)
    return request if isinstance(request, Mapping) else None


def remember_request(exception: BaseException, request: Mapping[str, Any]) -> None:
    """Remember the request that the exception ended: `method`, `url`, `query_string`, `headers`, `client`."""
    vars(exception)[_REQUEST] = request


def _standing(exception: BaseException, trace_id: int) -> str | None:
    """Return the id that applies in a trace. Outside of any trace, return the id that is there."""
    mark = vars(exception).get(_MARK)
    if not isinstance(mark, tuple):
        return None
    event_id, marked_in = mark
    return None if trace_id and marked_in and trace_id != marked_in else str(event_id)


def _trace_id() -> int:
    return trace.get_current_span().get_span_context().trace_id
