"""An error event that is redacted on a sender's thread, so that the request that reports the error does not wait."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from mita_otel.errors import raise_interrupt
from mita_otel.sentry.transport.envelope_items import Event, fitted

_logger = logging.getLogger("mita_otel")

_SAFE: Final = ("event_id", "timestamp", "level", "platform", "type")
"""Members of an event that the SDK sets. They contain no data of the application."""
_SAFE_IDS: Final = ("type", "trace_id", "span_id", "parent_span_id")
_LEVELS: Final = frozenset({"fatal", "error", "warning", "info", "debug"})
_WITHHELD: Final = "[redacted:error]"


class DeferredEvent(Event):
    """A placeholder for an event that waits for its redaction.

    As a mapping it contains ids, time and level only. If anything other than `SentryTransport` sends it, no data of the
    application leaves the process.

    Args:
        event: The event. It is not changed.
        size: The bytes that it occupies while it waits.
        redact: Returns the redacted event, or None if it cannot be redacted.
    """

    def __init__(self, event: Mapping[str, Any], size: int, redact: Callable[[], Event | None]) -> None:
        super().__init__(
            {name: event[name] for name in _SAFE if isinstance(event.get(name), str | float | int)}
        )
        if self.get("level") not in _LEVELS:
            self["level"] = "error"
        self["message"] = _WITHHELD
        trace = (event.get("contexts") or {}).get("trace")
        if isinstance(trace, Mapping):
            self["contexts"] = {"trace": {name: str(trace[name]) for name in _SAFE_IDS if trace.get(name)}}
        self.size = size
        """Bytes that the event occupies while it waits."""
        self._redact = redact

    def payload(self, headers: dict[str, Any], max_bytes: int) -> bytes | None:
        """Return the redacted event as JSON, or None if it cannot be redacted.

        Args:
            headers: The envelope's headers. The event's sampling context is moved there, as sentry-sdk does.
            max_bytes: Maximum size of the JSON.
        """
        try:
            event = self._redact()
            if event is None:
                return None
            context = event.get("contexts", {}).get("trace") or {}
            sampling_context = context.pop("dynamic_sampling_context", None)
            if sampling_context:
                headers["trace"] = sampling_context
            return fitted(event, max_bytes)
        except BaseException as error:
            raise_interrupt(error)
            _logger.debug("an event could not be redacted", exc_info=True)
            return None
