"""Spotlight, Sentry for the desk: it gets what Sentry gets, and a sidecar that hangs holds nobody up."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import urllib3
from sentry_sdk.envelope import Envelope
from sentry_sdk.spotlight import SpotlightClient

from mita_otel.sentry.transport.senders import Job, Senders

_MAX_ENVELOPES: Final = 500
"""Waiting: as many as Spotlight itself keeps."""


class QueuedSpotlight(SpotlightClient):
    """sentry-sdk's client of Spotlight, on a thread of its own.

    Args:
        url: The sidecar's, as in `http://localhost:8969/stream`.
        timeout_s: Seconds one request may take.
    """

    def __init__(self, url: str, timeout_s: float) -> None:
        super().__init__(url)
        self.http = urllib3.PoolManager(timeout=urllib3.Timeout(total=timeout_s), retries=False)
        self._senders = Senders(1, _MAX_ENVELOPES, float("inf"))
        self._post: Callable[[Envelope], None] = super().capture_envelope

    def capture_envelope(self, envelope: Envelope) -> None:
        """Queue the envelope. The transport may write into its headers meanwhile: this one has its own."""
        own = Envelope(dict(envelope.headers), list(envelope.items))
        self._senders.put(Job(partial(self._post, own), important=False))

    def flush(self, timeout_s: float) -> None:
        """Wait until everything has been sent, at most so many seconds."""
        self._senders.flush(timeout_s)
