"""sentry-sdk's transport, with what a bank's service needs: deadlines, several senders, every loss counted.

Rate limits, client reports, proxies and certificates stay sentry-sdk's.
"""

from __future__ import annotations

import gzip
import http.client
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit
from weakref import WeakSet

import urllib3
from sentry_sdk.consts import EndpointType
from sentry_sdk.envelope import Envelope, Item, PayloadRef
from sentry_sdk.transport import HttpTransport
from sentry_sdk.worker import Worker

from mita_otel.policy.sentry import SentryPolicy
from mita_otel.processors.queues.forks import ForkSafeLock, after_fork_in_child
from mita_otel.processors.queues.losses import DEADLINE_PASSED, Losses
from mita_otel.processors.queues.stage import Deliveries
from mita_otel.sentry import event_door
from mita_otel.sentry.transport.connections import Connections, Heard, in_small_letters, tls_context
from mita_otel.sentry.transport.event_size import fitted
from mita_otel.sentry.transport.item_of_spans import SpansItem
from mita_otel.sentry.transport.senders import Job, Senders

STAGE: Final = "sentry"
"""Where lost spans are counted."""
LOGS_STAGE: Final = "sentry.logs"
"""Where lost log records are counted."""
_UNREADABLE_RETRY_AFTER_S: Final = 60
"""What sentry-sdk waits when a 429 does not say."""
_MAX_SAID: Final = 200
"""Characters of an answer that are repeated."""
_UNCOUNTED: Final = frozenset({"client_report"})
_BESIDE: Final = frozenset({"span", "log_byte", "trace_metric_byte"})
"""Categories that sentry-sdk counts beside the one of the item that is lost."""


class CountingTransport(HttpTransport):
    """Sends envelopes, and counts every span that Sentry will not get.

    Args:
        options: sentry-sdk's options.
        policy: Timeouts and bounds.
        losses: Where losses are counted.
    """

    def __init__(self, options: dict[str, Any], policy: SentryPolicy, losses: Losses) -> None:
        self._policy = policy
        self._losses = losses
        self._counting = ForkSafeLock()
        self._settled: WeakSet[Item] = WeakSet()
        """What has arrived, or has been counted as lost."""
        self.senders = Senders(policy.senders, policy.max_envelopes, policy.max_megabytes * 1e6)
        """The queue in front of the network."""
        self.deliveries = Deliveries()
        """How the last requests went."""
        self.ending = False
        """Whether the process is about to end: the last moment for a client report."""
        super().__init__(options)
        self._connections = self._direct()
        after_fork_in_child(self._renew)

    def _renew(self) -> None:
        """Share no connection with the parent: sentry-sdk's pool knows nothing of forks."""
        self._pool = self._make_pool()

    def capture_envelope(self, envelope: Envelope) -> None:
        """Queue an envelope. While there is no room, those without a breach or an error are given up first."""

        def send() -> None:
            self._send_envelope(envelope)
            self._flush_client_reports()

        def give_up() -> None:
            self.on_dropped_event("full_queue")
            for item in envelope.items:
                self.record_lost_event("queue_overflow", item=item)

        spans = [item for item in envelope.items if isinstance(item, SpansItem)]
        self.senders.put(
            Job(
                send,
                size=sum(self._encoded(item) for item in envelope.items),
                important=len(spans) < len(envelope.items) or any(item.important for item in spans),
                given_up=give_up,
                holds=tuple(envelope.items),
            )
        )

    def _encoded(self, item: Item) -> int:
        """Encode what is not yet, here and not when it is sent: what waits has to have a size. Return that."""
        event = item.payload.json if isinstance(item.payload, PayloadRef) else None
        if isinstance(event, dict):
            limit = self._policy.max_event_kilobytes * 1000 if item.type == "event" else sys.maxsize
            item.payload = PayloadRef(bytes=fitted(event, limit))
        return len(item.payload.bytes or b"") if isinstance(item.payload, PayloadRef) else len(item.payload)

    def capture_otlp(self, payload: bytes, *, spans: int, important: bool) -> None:
        """Queue an OTLP export request; it counts as span items do.

        Args:
            payload: Protobuf.
            spans: How many spans are in it.
            important: Whether one of them broke a limit or failed.
        """
        item = SpansItem(b"", type="span", spans=spans)

        def send() -> None:
            if self._check_disabled("span"):
                self.record_lost_event("ratelimit_backoff", item=item)
                return
            body = gzip.compress(payload, self._policy.compression_level)
            headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip"}
            self._send_request(body, headers, EndpointType.OTLP_TRACES, Envelope(items=[item]))
            self._flush_client_reports()

        def give_up() -> None:
            self.record_lost_event("queue_overflow", item=item)

        self.senders.put(Job(send, size=len(payload), important=important, given_up=give_up, holds=(item,)))

    def ask(self, body: bytes, headers: dict[str, str]) -> Heard:
        """Post past the queue, the way that envelopes go, and return what is heard as soon as it is.

        Raises:
            OSError: The host cannot be reached.
            http.client.HTTPException: It does not speak HTTP.
            urllib3.exceptions.HTTPError: One of the two, through a proxy.
        """
        headers = {**headers, "X-Sentry-Auth": self._auth.to_header()}
        if self._connections is None:
            url = self._auth.get_api_url(EndpointType.ENVELOPE)
            through = self._pool.request("POST", url, body=body, headers=headers, preload_content=False)
            through.close()
            return Heard(through.status, in_small_letters(through.headers))
        return self._connections.hear(self._path(EndpointType.ENVELOPE), body, headers)

    def flush(self, timeout: float, callback: Callable[[int, float], None] | None = None) -> None:
        """Wait until everything that is queued has been sent, at most `timeout` seconds."""
        if timeout > 0:
            self._flush_client_reports(force=self.ending)
            self.senders.flush(timeout)

    def report(self, reason: str, *, spans: int = 0, transactions: int = 0) -> None:
        """Tell Sentry, in the next client report, of what was counted elsewhere.

        Args:
            reason: As Sentry's client reports name it.
            spans: How many.
            transactions: How many of them were transactions.
        """
        with self._counting:
            if spans:
                super().record_lost_event(reason, "span", quantity=spans)
            if transactions:
                super().record_lost_event(reason, "transaction", quantity=transactions)

    def record_lost_event(
        self,
        reason: str,
        data_category: Any = None,
        item: Item | None = None,
        *,
        quantity: int = 1,
    ) -> None:
        """Count for Sentry's client report, and for ours."""
        if reason == "before_send" and item is None:
            return  # the event door said no: to an exception that was sent before, or it has counted the loss itself
        with self._counting:
            if isinstance(item, SpansItem):
                if item.type == "transaction":
                    super().record_lost_event(reason, "transaction")
                super().record_lost_event(reason, "span", quantity=item.spans)
            else:
                super().record_lost_event(reason, data_category, item, quantity=quantity)
        if item is not None or data_category not in _BESIDE:
            self._count(reason, item)

    def _count(self, reason: str, item: Item | None) -> None:
        if item is not None and not self._settle(item):
            return
        if isinstance(item, SpansItem):
            self._losses.add(STAGE, reason, item.spans)
        elif item is not None and item.type == "log":
            self._losses.add(LOGS_STAGE, reason, int(item.headers.get("item_count") or 1))
        elif item is None or item.type not in _UNCOUNTED:
            self._losses.add(event_door.STAGE, reason)

    def _settle(self, item: Item) -> bool:
        """Note that an item's fate is known. False: it was before."""
        with self._counting:
            if item in self._settled:
                return False
            self._settled.add(item)
            return True

    def abandon(self) -> None:
        """Count what has not been sent as lost: the deadline is over. It is sent all the same while the process lives."""
        for job in self.senders.unfinished:
            for item in job.holds:
                self._count(DEADLINE_PASSED, item)

    def kill(self) -> None:
        """Refuse envelopes from now on, give up what waits, close the connections."""
        self.abandon()
        super().kill()
        if self._connections is not None:
            self._connections.close()

    def _create_worker(self, options: dict[str, Any]) -> Worker:
        return self.senders

    def _get_pool_options(self) -> dict[str, Any]:
        return {
            **super()._get_pool_options(),
            "timeout": urllib3.Timeout(total=self._policy.send_timeout_s),
            "maxsize": self._policy.senders,
            # Nothing is tried again: it would hold up the others.
            "retries": False,
        }

    def _prepare_envelope(self, envelope: Envelope) -> Any:
        # Relay corrects the sender's clock by this: it has to be the time of sending, not of queueing.
        envelope.headers["sent_at"] = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return super()._prepare_envelope(envelope)

    def _request(self, method: str, endpoint_type: EndpointType, body: Any, headers: Any) -> Any:
        if self._connections is not None:
            return self._connections.post(self._path(endpoint_type), body, headers)
        return super()._request(method, endpoint_type, body, headers)

    def _path(self, endpoint_type: EndpointType) -> str:
        return urlsplit(self._auth.get_api_url(endpoint_type)).path

    def _direct(self) -> Connections | None:
        """Return connections of our own, or None where sentry-sdk's pool knows a way that they do not: a proxy."""
        dsn = self.parsed_dsn
        if dsn is None or self._resolve_proxy() is not None or self.options["socket_options"]:
            return None
        context = tls_context(self.options) if dsn.scheme == "https" else None
        return Connections(
            dsn.scheme, dsn.host, dsn.port, timeout_s=self._policy.send_timeout_s, context=context
        )

    def _send_request(
        self,
        body: bytes,
        headers: dict[str, str],
        endpoint_type: EndpointType,
        envelope: Envelope | None = None,
    ) -> None:
        try:
            super()._send_request(body, headers, endpoint_type, envelope)
        except (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError) as error:
            self.deliveries.failed(f"no connection ({type(error).__name__})")
            return  # counted by `_handle_request_error`; the backend's absence is no error of ours

    def _update_rate_limits(self, response: Any) -> None:
        try:
            super()._update_rate_limits(response)
        except urllib3.exceptions.InvalidHeader:
            # A Retry-After that nobody can read still means: wait.
            self._disabled_until[None] = datetime.now(UTC) + timedelta(seconds=_UNREADABLE_RETRY_AFTER_S)

    def _handle_response(self, response: Any, envelope: Envelope | None) -> None:
        super()._handle_response(response, envelope)
        if 200 <= response.status < 300:
            self.deliveries.succeeded()
            for item in envelope.items if envelope is not None else ():
                self._settle(item)
        else:
            self.deliveries.failed(f"Sentry answered {response.status}{_reason(response)}")
        if response.status == 429 and envelope is not None:
            # Relay has counted these already, so they are missing in client reports; not in our own counts.
            for item in envelope.items:
                self._count("ratelimited", item)


def _reason(response: Any) -> str:
    """Return what an answer says of itself, as Relay does: `(event submission rejected: ...)`."""
    try:
        told = json.loads(response.data)
        words = [str(told.get("detail") or ""), *(str(one) for one in told.get("causes") or ())]
    except (ValueError, AttributeError, TypeError):
        return ""
    said = " ".join("; ".join(filter(None, words)).split())[:_MAX_SAID]
    return f" ({said})" if said else ""
