"""Spotlight, Sentry for development: it gets what Sentry gets. A sidecar that hangs delays nothing."""

from __future__ import annotations

from functools import partial
from typing import Final

import urllib3
from sentry_sdk.envelope import Envelope

from mita_otel.sentry.transport.send_queue import Job, SendQueue

_MAX_ENVELOPES: Final = 500
"""Envelopes that may wait: as many as Spotlight itself keeps."""


class QueuedSpotlight:
    """Takes the place of sentry-sdk's client of Spotlight, which sends on the thread of the request.

    Args:
        url: The sidecar, as in `http://localhost:8969/stream`.
        timeout_s: Seconds that one request may take.
    """

    def __init__(self, url: str, timeout_s: float) -> None:
        self.url = url
        self._pool = urllib3.PoolManager(timeout=urllib3.Timeout(total=timeout_s), retries=False)
        self._queue = SendQueue(1, _MAX_ENVELOPES, float("inf"))

    def capture_envelope(self, envelope: Envelope) -> None:
        """Queue the envelope."""
        # A copy: the transport changes the list of items.
        copied = Envelope(dict(envelope.headers), list(envelope.items))
        self._queue.put(Job(partial(self._post, copied), important=False))

    def flush(self, timeout_s: float) -> None:
        """Wait until everything has been sent, at most `timeout_s` seconds."""
        self._queue.flush(timeout_s)

    def _post(self, envelope: Envelope) -> None:
        headers = {"Content-Type": "application/x-sentry-envelope"}
        self._pool.request("POST", self.url, body=envelope.serialize(), headers=headers)
