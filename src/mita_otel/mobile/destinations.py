"""Destinations of records, and the outcome of a delivery."""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, Protocol

from mita_otel.mobile.envelope import write_envelope
from mita_otel.mobile.rate_limits import ForwardedRateLimits
from mita_otel.mobile.spool_record import SpoolRecord
from mita_otel.mobile.upstream import Upstream, UpstreamUnreachable

Outcome = Literal["delivered", "rejected", "limited", "unavailable"]

_REFUSED_FOR_GOOD: Final = frozenset({400, 405, 413, 415, 422})
"""Statuses that no retry can change. Other errors may be fixed: a key, a project, an outage."""
_TOO_MANY: Final = 429


@dataclass(frozen=True, slots=True)
class Delivery:
    """The outcome of a delivery."""

    outcome: Outcome
    reason: str = ""
    """For counting and the log, for example `status_503`."""


class Destination(Protocol):
    """Receives records."""

    def may_have(self, record: SpoolRecord, /) -> bool:
        """Return whether the record may be sent now."""

    def deliver(self, record: SpoolRecord, payload: bytes, /) -> Delivery:
        """Deliver a record. May block. Called on several threads."""

    def close(self) -> None:
        """Close connections."""


class SentryDestination:
    """One project in Sentry.

    Args:
        upstream: The connection.
        limits: Its rate limits, updated from its responses.
        compression_level: Level of gzip. 0: no compression.
        clock: Seconds since the epoch.
    """

    def __init__(
        self,
        upstream: Upstream,
        limits: ForwardedRateLimits,
        *,
        compression_level: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._upstream = upstream
        self.limits = limits
        self._level = compression_level
        self._clock = clock

    def may_have(self, record: SpoolRecord) -> bool:
        """Return whether no rate limit of Sentry covers the record's categories."""
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
            # The limit names other categories, so all that is known is to wait.
            return Delivery("unavailable" if self.may_have(record) else "limited", reason)
        return Delivery("rejected" if answer.status in _REFUSED_FOR_GOOD else "unavailable", reason)

    def close(self) -> None:
        """Close the connections."""
        self._upstream.close()


def sent_later(header: Mapping[str, Any], seconds: float) -> dict[str, Any]:
    """Return an envelope's header with `sent_at` moved by the time it waited.

    Sentry corrects the app's clock by the difference between `sent_at` and the time of arrival. The time in the
    spool must not look like a slow clock.

    Args:
        header: The app's header.
        seconds: How long the envelope waited.
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
