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
    """Return the id of the event that the exception became, or None."""
    event_id = getattr(exception, _EVENT_ID, None)
    return event_id if isinstance(event_id, str) else None


def mark(exception: BaseException, event_id: str) -> None:
    """Remember which event the exception became. One that takes no attributes is not marked."""
    _set(exception, _EVENT_ID, event_id)


def request_of(exception: BaseException) -> Mapping[str, Any] | None:
    """Return what is known of the request that the exception ended, or None."""
    request = getattr(exception, _REQUEST, None)
    return request if isinstance(request, Mapping) else None


def remember_request(exception: BaseException, request: Mapping[str, Any]) -> None:
    """Remember the request that the exception ended: `method`, `url`, `query_string`, `headers`, `client`."""
    _set(exception, _REQUEST, request)


def _set(exception: BaseException, name: str, value: object) -> None:
    try:
        setattr(exception, name, value)
    except Exception:  # noqa: BLE001 - a class may forbid it, or do anything; then there is no mark
        return
