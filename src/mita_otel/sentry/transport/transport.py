"""The transport for sentry-sdk's client: a bounded queue, rate limits, and counts of all lost items."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final
from weakref import WeakSet

from sentry_sdk.envelope import Envelope, Item, PayloadRef
from sentry_sdk.transport import Transport

from mita_otel.policy.sentry import SentryPolicy
from mita_otel.processors.queues.forks import ForkSafeLock
from mita_otel.processors.queues.losses import DEADLINE_PASSED, Cause, Losses
from mita_otel.processors.queues.slices import Slices
from mita_otel.processors.queues.stage import Deliveries, deadline_in
from mita_otel.sentry.transport.client_reports import ClientReports
from mita_otel.sentry.transport.envelope_items import (
    OTHER_STAGE,
    DeferredEvent,
    SpansItem,
    category_of,
    fitted,
    loss_of,
)
from mita_otel.sentry.transport.ingest_client import (
    ENVELOPE,
    OTLP_TRACES,
    UNREACHABLE,
    IngestClient,
    Response,
    failure_of,
)
from mita_otel.sentry.transport.rate_limits import RateLimits, explanation_of, next_step
from mita_otel.sentry.transport.send_queue import Job, SendQueue

_ADDITIONAL: Final = frozenset({"span", "log_byte", "trace_metric_byte"})
"""Categories that sentry-sdk counts in addition to the category of the lost item."""
_INTENDED: Final = frozenset({"event_processor", "sample_rate"})
"""Reasons that are not losses: the service's event processors or its sampling of errors dropped the event."""
_ATTACH_REPORT_S: Final = 30.0
"""Minimum seconds between client reports that are added to another envelope."""
_SEND_REPORT_S: Final = 60.0
"""Minimum seconds between client reports that are sent in their own envelope."""


class SentryTransport(Transport):
    """Queues envelopes, sends them on background threads, and counts each item that Sentry does not receive.

    Errors whose redaction was deferred are redacted by the thread that sends them.

    Args:
        options: sentry-sdk's options, with the DSN.
        policy: Timeouts and limits.
        losses: Counts losses.
        slices: Divides redaction and encoding into slices. None: they are not divided.

    Raises:
        ConfigurationError: A certificate file from the options or the environment cannot be read.
    """

    def __init__(
        self, options: dict[str, Any], policy: SentryPolicy, losses: Losses, slices: Slices | None = None
    ) -> None:
        super().__init__(options)
        self._policy = policy
        self._max_event_bytes = policy.max_event_kilobytes * 1000
        self._losses = losses
        self._lock = ForkSafeLock()
        self._slices = slices or Slices()
        self._settled: WeakSet[Item] = WeakSet()
        """Items that have arrived or were counted as lost."""
        self._limits = RateLimits()
        self._reports = ClientReports(enabled=bool(options.get("send_client_reports", True)))
        self._client = IngestClient(
            options["dsn"],
            options,
            timeout_s=policy.send_timeout_s,
            max_connections=policy.senders,
        )
        self.queue = SendQueue(policy.senders, policy.max_envelopes, policy.max_megabytes * 1e6)
        """The queue of envelopes to send."""
        self.deliveries = Deliveries()
        """The outcome of the last requests."""
        self.ending = False
        """Whether the process may end soon, so that the next `flush` sends the last client report."""

    def capture_envelope(self, envelope: Envelope) -> None:
        """Queue an envelope. If the queue is full, envelopes without a breach or an error are evicted first."""
        spans = [item for item in envelope.items if isinstance(item, SpansItem)]
        important = len(spans) < len(envelope.items) or any(item.important for item in spans)
        size = sum(self._encode(item) for item in envelope.items)
        self._put(partial(self._send_envelope, envelope), size, envelope.items, important=important)

    def capture_otlp(self, payload: bytes, *, spans: int, important: bool) -> None:
        """Queue an OTLP export request. It is counted like an item of spans.

        Args:
            payload: The request as protobuf.
            spans: Number of spans in the request.
            important: Whether one of the spans exceeded a limit or failed.
        """
        item = SpansItem(b"", type="span", spans=spans)
        self._put(partial(self._send_otlp, payload, item), len(payload), [item], important=important)

    def flush(self, timeout: float, callback: Callable[[int, float], None] | None = None) -> None:
        """Wait at most `timeout` seconds until everything that is queued has been sent."""
        if timeout > 0:
            self._queue_report(0 if self.ending else _SEND_REPORT_S)
            self.queue.flush(deadline_in(timeout * 1000))

    def kill(self) -> None:
        """Count unsent items as lost, reject new envelopes, and close the connections."""
        self.abandon()
        self.queue.close()
        self._client.close()

    def is_healthy(self) -> bool:
        """Return whether the queue is not full and no rate limit applies."""
        return not (self.queue.full or self._limits.active)

    def record_lost_event(
        self,
        reason: str,
        data_category: Any = None,
        item: Item | None = None,
        *,
        quantity: int = 1,
    ) -> None:
        """Count a loss, for Sentry's client report and for mita-otel's loss counts.

        Args:
            reason: The reason, as in Sentry's client reports.
            data_category: Category of the lost data, if there is no item.
            item: The lost item.
            quantity: Lost quantity, if there is no item.
        """
        if reason == "before_send" and item is None:
            return  # our `before_send` has dropped a duplicate, or has already counted the loss
        if item is not None:
            self._lose(reason, item)
            return
        self._reports.add(reason, str(data_category), quantity)
        if data_category not in _ADDITIONAL and reason not in _INTENDED:
            self._losses.add(OTHER_STAGE, reason)

    def report(self, reason: str, *, spans: int = 0, transactions: int = 0) -> None:
        """Add losses that were counted elsewhere to the next client report.

        Args:
            reason: The reason, as in Sentry's client reports.
            spans: Number of lost spans.
            transactions: Number of lost transactions.
        """
        self._reports.add(reason, "span", spans)
        self._reports.add(reason, "transaction", transactions)

    def abandon(self) -> None:
        """Count unsent items as lost, because the deadline has passed. They are still sent if the process continues."""
        self.queue.abandon()

    def _put(self, run: Callable[[], None], size: int, items: list[Item], *, important: bool) -> None:
        queued = tuple(items)

        def evicted() -> None:
            self._lose_all("queue_overflow", items)

        def abandoned() -> None:
            for item in queued:
                self._count(DEADLINE_PASSED, item)

        self.queue.put(Job(run, size=size, important=important, evicted=evicted, abandoned=abandoned))

    def _encode(self, item: Item) -> int:
        """Encode an item and return its size. The queue needs the size before the item is sent."""
        event = item.payload.json
        if isinstance(event, DeferredEvent):
            return event.size
        if isinstance(event, dict):
            limit = self._max_event_bytes if item.type == "event" else sys.maxsize
            item.payload = PayloadRef(bytes=fitted(event, limit))
        return len(item.get_bytes())

    def _redact(self, item: Item, headers: dict[str, Any]) -> bool:
        """Redact and encode an event whose redaction was deferred. Return False if that is impossible."""
        event = item.payload.json
        if not isinstance(event, DeferredEvent):
            return True
        payload = event.payload(headers, self._max_event_bytes)
        if payload is None:
            self._reports.add_item("internal_sdk_error", item)
            self._count("not_redactable", item)
            return False
        item.payload = PayloadRef(bytes=payload)
        return True

    def _send_envelope(self, envelope: Envelope) -> None:
        try:
            with self._slices.work(lambda: self.queue.flushing):
                items, body = self._encoded(envelope)
        except BaseException:  # such as gevent timeouts
            self._lose_all("internal_sdk_error", envelope.items)
            raise
        if items:
            self._post(ENVELOPE, body, "application/x-sentry-envelope", items)
            self._queue_report(_SEND_REPORT_S)

    def _encoded(self, envelope: Envelope) -> tuple[list[Item], bytes]:
        """Return the items to send, redacted, and the request's body. Items that cannot be sent are counted."""
        headers = dict(envelope.headers)
        items = [item for item in self._unlimited(envelope.items) if self._redact(item, headers)]
        if not items:
            return items, b""
        report = self._reports.take(_ATTACH_REPORT_S)
        if report is not None:
            items.append(report)
        # Sentry corrects the sender's clock with this value, so it must be the time of sending, not of queueing.
        sent_at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return items, self._compressed(Envelope({**headers, "sent_at": sent_at}, items).serialize())

    def _compressed(self, body: bytes) -> bytes:
        level = self._policy.compression_level
        return gzip.compress(body, level) if level else body

    def _send_otlp(self, payload: bytes, item: SpansItem) -> None:
        if list(self._unlimited([item])):
            self._post(OTLP_TRACES, self._compressed(payload), "application/x-protobuf", [item])
        self._queue_report(_SEND_REPORT_S)

    def _unlimited(self, items: Iterable[Item]) -> Iterable[Item]:
        """Yield the items without a rate limit, and count the others as lost."""
        for item in items:
            if self._limits.apply_to(category_of(item)):
                self._lose("ratelimit_backoff", item)
            else:
                yield item

    def _post(self, endpoint: str, body: bytes, content_type: str, items: list[Item]) -> None:
        headers = {"Content-Type": content_type}
        if self._policy.compression_level:
            headers["Content-Encoding"] = "gzip"
        try:
            response = self._client.post(endpoint, body, headers)
        except UNREACHABLE as error:
            self.deliveries.failed(f"no connection to {self._client.address} ({failure_of(error)})")
            cause = self._cause(f"no connection ({failure_of(error)})", "run `mita-otel doctor`")
            self._lose_all("network_error", items, cause)
            return
        except BaseException:
            self._lose_all("internal_sdk_error", items)
            raise
        self._judge(response, items)

    def _judge(self, response: Response, items: list[Item]) -> None:
        """Settle the items according to the response."""
        self._limits.update(response.status, response.headers)
        if 200 <= response.status < 300:
            self.deliveries.succeeded()
            for item in items:
                self._settle(item)
            return
        answered = f"answered {response.status}{explanation_of(response)}"
        self.deliveries.failed(f"Sentry {answered}")
        cause = self._cause(answered, next_step(response.status))
        if response.status == 429:
            # Sentry has already counted these items, so client reports must not include them. Our loss counts do.
            for item in items:
                self._reports.restore(item)
                self._count("ratelimited", item, cause)
        else:
            self._lose_all("send_error" if response.status == 413 else "network_error", items, cause)

    def _queue_report(self, min_interval_s: float) -> None:
        report = self._reports.take(min_interval_s)
        if report is not None:
            self.capture_envelope(Envelope(items=[report]))

    def _cause(self, why: str, fix: str) -> Cause:
        return Cause(f"Sentry at {self._client.address}", why, fix)

    def _lose_all(self, reason: str, items: list[Item], cause: Cause | None = None) -> None:
        for item in items:
            self._reports.restore(item)
            self._lose(reason, item, cause)

    def _lose(self, reason: str, item: Item, cause: Cause | None = None) -> None:
        self._reports.add_item(reason, item)
        self._count(reason, item, cause)

    def _count(self, reason: str, item: Item, cause: Cause | None = None) -> None:
        """Count an item as lost in our loss counts, once."""
        if self._settle(item):
            stage, count = loss_of(item)
            self._losses.add(stage, reason, count, cause)

    def _settle(self, item: Item) -> bool:
        """Mark an item as arrived or lost. Return False if it was marked before."""
        with self._lock:
            if item in self._settled:
                return False
            self._settled.add(item)
            return True
