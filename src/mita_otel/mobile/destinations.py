"""Where records go: each destination says what became of one, in one of four words."""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, Protocol

from mita_otel.mobile.envelope import write_envelope
from mita_otel.mobile.rate_limits import RateLimits
from mita_otel.mobile.spool_record import SpoolRecord
from mita_otel.mobile.upstream import Upstream, UpstreamUnreachable

Outcome = Literal["delivered", "rejected", "limited", "unavailable"]

_REFUSED_FOR_GOOD: Final = frozenset({400, 405, 413, 415, 422})
"""What Sentry will not take however often it is sent. Any other error may be mended: a key, a project, an outage."""
_TOO_MANY: Final = 429


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of a record."""

    outcome: Outcome
    reason: str = ""
    """As in `status_503`, for counting and for the log."""


class Destination(Protocol):
    """Somewhere that records go."""

    def may_have(self, record: SpoolRecord, /) -> bool:
        """Return whether it wants the record now."""

    def deliver(self, record: SpoolRecord, payload: bytes, /) -> Delivery:
        """Deliver a record; may take its time. Called on several threads."""

    def close(self) -> None:
        """End."""


class SentryDestination:
    """One project in Sentry.

    Args:
        upstream: The way there.
        limits: What it wants nothing of; kept up to date by its answers.
        compression_level: Of gzip; 0: nothing is compressed.
        clock: Seconds since the epoch.
    """

    def __init__(
        self,
        upstream: Upstream,
        limits: RateLimits,
        *,
        compression_level: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._upstream = upstream
        self.limits = limits
        self._level = compression_level
        self._clock = clock

    def may_have(self, record: SpoolRecord) -> bool:
        """Return whether Sentry has set no limit on what is in it."""
        return not self.limits.is_limited(record.categories)

    def deliver(self, record: SpoolRecord, payload: bytes) -> Delivery:
        """Send a record."""
        body = payload
        if record.form == "envelope":
            body = write_envelope(sent_later(record.header, self._clock() - record.received_s), payload)
        if self._level:
            body = gzip.compress(body, self._level)
        post = (
            self._upstream.post_otlp_traces if record.form == "otlp_traces" else self._upstream.post_envelope
        )
        try:
            answer = post(body, compressed=bool(self._level))
        except UpstreamUnreachable as error:
            return Delivery("unavailable", str(error))
        self.limits.update(answer.status, answer.headers)
        reason = f"status_{answer.status}"
        if 200 <= answer.status < 300:
            return Delivery("delivered", reason)
        if answer.status == _TOO_MANY:
            # Limited, but not what is in here: then all that is known is to wait.
            return Delivery("unavailable" if self.may_have(record) else "limited", reason)
        return Delivery("rejected" if answer.status in _REFUSED_FOR_GOOD else "unavailable", reason)

    def close(self) -> None:
        """Close the connections."""
        self._upstream.close()


def sent_later(header: Mapping[str, Any], seconds: float) -> dict[str, Any]:
    """Return an envelope's header with the time of sending put off.

    Sentry corrects the app's clock by the difference between `sent_at` and the time of arrival: what an envelope
    waited here must not look like a clock that is slow.

    Args:
        header: As the app sent it.
        seconds: How long it waited.
    """
    said = header.get("sent_at")
    if not isinstance(said, str) or seconds <= 0:
        return dict(header)
    try:
        sent_at = datetime.fromisoformat(said)
        later = (sent_at if sent_at.tzinfo else sent_at.replace(tzinfo=UTC)) + timedelta(seconds=seconds)
    except (ValueError, OverflowError):
        return dict(header)
    return {**header, "sent_at": later.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")}
