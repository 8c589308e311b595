"""Marks on exceptions: which event one became, and the request it ended. An exception is reported once.

The same exception comes by many places: the decorator around an operation, the framework, a log line, the server.
Whoever reports it first leaves its event's id on the object; the others find it there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_EVENT_ID: Final = "__mita_event_id__"
_REQUEST: Final = "__mita_request__"


def event_id_of(exception: BaseException) -> str | None:
    """Return the id of the event that the exception became, or None.

    A group that was not reported itself counts as reported when all its members are; its id is the first one's.
    """
    event_id = vars(exception).get(_EVENT_ID)
    if event_id is None and isinstance(exception, BaseExceptionGroup):
        members = [event_id_of(member) for member in exception.exceptions]
        event_id = members[0] if all(members) else None
    return event_id if isinstance(event_id, str) else None


def mark(exception: BaseException, event_id: str) -> str:
    """Remember which event the exception became, also where its class forbids attributes (a frozen dataclass).

    Returns:
        The exception's event id: this one, or that of whoever came first.
    """
    standing: str = vars(exception).setdefault(_EVENT_ID, event_id)
    return standing


def request_of(exception: BaseException) -> Mapping[str, Any] | None:
    """Return what is known of the request that the exception ended, or None."""
    request = vars(exception).get(_REQUEST)
    return request if isinstance(request, Mapping) else None


def remember_request(exception: BaseException, request: Mapping[str, Any]) -> None:
    """Remember the request that the exception ended: `method`, `url`, `query_string`, `headers`, `client`."""
    vars(exception)[_REQUEST] = request
