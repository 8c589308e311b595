"""What happened before an error: the newest log records of its trace, the events of its spans.

sentry-sdk keeps breadcrumbs in a scope, which somebody has to fork for each request, or they mix. A trace's id is
there anyway.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

from opentelemetry.sdk.trace import Event

from mita_otel import semconv
from mita_otel.sentry.mapping.newest_by_trace import NewestByTrace
from mita_otel.sentry.mapping.plain import plain, seconds

Breadcrumb = dict[str, Any]

_ISSUES: Final = frozenset({semconv.EXCEPTION_EVENT, semconv.ERROR_EVENT})


class Breadcrumbs(NewestByTrace[Breadcrumb]):
    """Keeps the newest breadcrumbs of the newest traces; thread-safe."""


def of_events(events: Iterable[Event]) -> list[Breadcrumb]:
    """Return a span's events as breadcrumbs. Exceptions and errors are none: they are issues."""
    return [_of_event(event) for event in events if event.name not in _ISSUES]


def _of_event(event: Event) -> Breadcrumb:
    said = {str(name): plain(value) for name, value in (event.attributes or {}).items()}
    own = f"{semconv.BREADCRUMB_EVENT}."
    data = {name.removeprefix(f"{own}data."): value for name, value in said.items()}
    crumb = {
        "type": "default",
        "category": data.pop(f"{own}category", event.name),
        "level": data.pop(f"{own}level", "info"),
        "message": data.pop(f"{own}message", event.name),
        "timestamp": seconds(event.timestamp),
    }
    return {**crumb, "data": data} if data else crumb


def time_of(breadcrumb: Any) -> float:
    """Return seconds since the epoch: breadcrumbs come with numbers, texts and datetimes."""
    timestamp = breadcrumb.get("timestamp") if isinstance(breadcrumb, dict) else None
    if isinstance(timestamp, int | float):
        return float(timestamp)
    try:
        parsed = timestamp if isinstance(timestamp, datetime) else datetime.fromisoformat(str(timestamp))
    except ValueError:
        return 0.0
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
