"""Sends envelopes to Spotlight, Sentry's tool for development. A sidecar that hangs does not delay the service."""

from __future__ import annotations

from functools import partial
from typing import Final

import urllib3
from sentry_sdk.envelope import Envelope

from mita_otel.sentry.transport.send_queue import Job, SendQueue

_MAX_ENVELOPES: Final = 500
"""Maximum number of waiting envelopes. Spotlight keeps the same number."""


class QueuedSpotlight:
    """Replaces sentry-sdk's Spotlight client, which sends on the thread of the request.

    Args:
        url: URL of the sidecar, such as `http://localhost:8969/stream`.
        timeout_s: Maximum seconds of one request.
    """

    def __init__(self, url: str, timeout_s: float) -> None:
        self.url = url
        self._pool = urllib3.PoolManager(timeout=urllib3.Timeout(total=timeout_s), retries=False)
        self._queue = SendQueue(1, _MAX_ENVELOPES, float("inf"))

    def capture_envelope(self, envelope: Envelope) -> None:
        """Queue the envelope."""
        # Copy the envelope, because the transport changes the list of items.
        copied = Envelope(dict(envelope.headers), list(envelope.items))
        self._queue.put(Job(partial(self._post, copied), important=False))

    def flush(self, deadline_s: float) -> bool:
        """Wait until everything has been sent. Return False if the deadline passed first."""
        return self._queue.flush(deadline_s)

    def _post(self, envelope: Envelope) -> None:
        headers = {"Content-Type": "application/x-sentry-envelope"}
        self._pool.request("POST", self.url, body=envelope.serialize(), headers=headers)
