"""Release health: counts requests by minute and outcome (exited, errored, crashed). Each request is a session.

Source: Sentry's sessions protocol, session aggregates (`sessions` items), which its server SDKs send.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind
from sentry_sdk.envelope import Envelope, Item, PayloadRef

from mita_otel import semconv
from mita_otel._json import json_bytes
from mita_otel.processors.captured_exceptions import CapturedExceptions
from mita_otel.processors.observation import Observation
from mita_otel.sentry.mapping.span_tree import key_of
from mita_otel.sentry.transport.sender_identity import Identity

_MINUTE_NS: Final = 60_000_000_000
_MAX_MINUTES: Final = 60
"""Maximum number of minutes that wait. One more minute causes a flush."""


class Sessions:
    """Counts requests by outcome, before sampling; thread-safe.

    Args:
        identity: Returns release and environment. Without a release nothing is sent, because Sentry needs it.
        captured: Remembers the traces in which an error was reported.
        send: Queues an envelope.
        clock: Nanoseconds since the epoch.
    """

    def __init__(
        self,
        identity: Callable[[], Identity],
        captured: CapturedExceptions,
        send: Callable[[Envelope], None],
        *,
        clock: Callable[[], int],
    ) -> None:
        self._identity = identity
        self._captured = captured
        self._send = send
        self._clock = clock
        self._lock = threading.RLock()
        self._minutes: dict[int, Counter[str]] = {}

    def observe(self, observation: Observation) -> None:
        """Count a finished span if it is a request."""
        span = observation.span
        if span.kind is not SpanKind.SERVER:
            return
        minute = (span.start_time or 0) // _MINUTE_NS
        with self._lock:
            self._minutes.setdefault(minute, Counter())[self._outcome(span, observation.failed)] += 1
            if len(self._minutes) > _MAX_MINUTES:
                self.flush()

    def tick(self) -> None:
        """Send the minutes that are over."""
        now = self._clock() // _MINUTE_NS
        with self._lock:
            self._send_minutes([minute for minute in self._minutes if minute < now])

    def flush(self) -> None:
        """Send everything that was counted."""
        with self._lock:
            self._send_minutes(list(self._minutes))

    def clear(self) -> None:
        """Discard all counts. After a fork the parent sends them."""
        self._lock = threading.RLock()
        self._minutes = {}

    def _outcome(self, span: ReadableSpan, failed: bool) -> str:
        if failed and any(event.name == semconv.EXCEPTION_EVENT for event in span.events):
            return "crashed"
        return "errored" if failed or self._captured.happened_in(key_of(span)[0]) else "exited"

    def _send_minutes(self, minutes: list[int]) -> None:
        if not minutes:
            return
        aggregates: list[dict[str, Any]] = [
            {
                "started": datetime.fromtimestamp(minute * 60, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                **self._minutes.pop(minute),
            }
            for minute in sorted(minutes)
        ]
        identity = self._identity()
        if not identity.release:
            return
        attributes = {"release": identity.release, "environment": identity.environment}
        payload = json_bytes({"attrs": attributes, "aggregates": aggregates})
        self._send(Envelope(items=[Item(PayloadRef(bytes=payload), type="sessions")]))
