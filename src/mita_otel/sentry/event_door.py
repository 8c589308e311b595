"""The only door out for Sentry's own events: once each, with the breadcrumbs of their trace, redacted."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import Any

from mita_otel.captured import event_id_of, mark
from mita_otel.redaction import BeforeSend, Redactor
from mita_otel.sentry.breadcrumbs import Breadcrumbs

Hint = MutableMapping[str, Any]


class EventDoor:
    """A `before_send` for sentry-sdk.

    Args:
        redactor: Takes the secrets out.
        breadcrumbs: What happened before, by trace.
        then: The host's own `before_send`; it sees the event first, and what it returns is redacted.
    """

    def __init__(
        self, redactor: Redactor, breadcrumbs: Breadcrumbs, then: Callable[[Any, Hint], Any] | None = None
    ) -> None:
        self.breadcrumbs = breadcrumbs
        self._redactor = redactor
        self._redact = BeforeSend(redactor)
        self._then = then

    def __call__(self, event: Any, hint: Hint) -> Any:
        """Return the event as it may be sent; None if its exception was sent before."""
        exception = _exception_of(hint)
        if exception is not None:
            own = str(event.get("event_id"))
            if (event_id_of(exception) or mark(exception, own)) != own:
                return None
        self._add_breadcrumbs(event)
        if self._then is not None:
            event = self._then(event, hint)
        return None if event is None else self._redact(event, hint)

    def redacted_breadcrumbs(self, trace_id: int) -> list[Any]:
        """Return the trace's breadcrumbs as they may be sent."""
        trail = self.breadcrumbs.of(trace_id)
        if not trail:
            return []
        safe = self._redactor.event({"breadcrumbs": {"values": trail}})
        values = safe.get("breadcrumbs", {}).get("values", [])
        return values if isinstance(values, list) else []

    def _add_breadcrumbs(self, event: Any) -> None:
        trace_id = event.get("contexts", {}).get("trace", {}).get("trace_id")
        trail = self.breadcrumbs.of(int(trace_id, 16)) if trace_id else []
        if not trail:
            return
        present = event.get("breadcrumbs") or {}
        values = present.get("values", []) if isinstance(present, dict) else list(present)
        event["breadcrumbs"] = {"values": sorted([*values, *trail], key=_time_of)}


def _time_of(breadcrumb: Any) -> str:
    return str(breadcrumb.get("timestamp", "")) if isinstance(breadcrumb, dict) else ""


def _exception_of(hint: Hint) -> BaseException | None:
    info = hint.get("exc_info")
    exception = info[1] if isinstance(info, tuple) and len(info) > 1 else None
    return exception if isinstance(exception, BaseException) else None
