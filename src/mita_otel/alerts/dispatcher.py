"""Delivers queued notifications to their channels: in order, with retries, and rate-limited."""

from __future__ import annotations

import logging
import random
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from opentelemetry.instrumentation.utils import suppress_instrumentation

from mita_otel.alerts.channels.notifier import NotDeliveredError, TryLaterError
from mita_otel.alerts.channels.registry import Channels
from mita_otel.alerts.conditions import SECOND_NS
from mita_otel.alerts.notification import Notification, redacted
from mita_otel.alerts.store import AlertStore, AlertStoreUnavailableError, QueuedNotification
from mita_otel.errors import ConfigurationError, raise_interrupt
from mita_otel.policy.channels import DeliveryPolicy
from mita_otel.processors.queues.losses import Losses
from mita_otel.redaction import Redactor

_logger = logging.getLogger("mita_otel.alerts")

STAGE: Final = "alerts"
_MAX_DIGEST: Final = 50
"""Notifications that one digest replaces."""
_NO_DIGEST: Final = frozenset({"pagerduty"})
"""Kinds of channels without digests: each notification opens or closes an incident."""


class NotificationDispatcher:
    """Delivers the notifications of an alert store.

    Args:
        policy: Attempts, pauses and rate limit.
        store: Holds the queue.
        channels: The channels.
        redactor: Redacts each notification once more before it is sent.
        losses: Counts notifications that were not delivered.
        kind_of: Returns the kind of a channel.
        clock_ns: Nanoseconds since the epoch.
        jitter: Returns a number from 0 to 1. None: a private random generator, since the application may have seeded the
            shared one.
    """

    def __init__(
        self,
        policy: DeliveryPolicy,
        store: AlertStore,
        channels: Channels,
        redactor: Redactor,
        losses: Losses,
        *,
        kind_of: Callable[[str], str],
        clock_ns: Callable[[], int] = time.time_ns,
        jitter: Callable[[], float] | None = None,
    ) -> None:
        self._policy = policy
        self._store = store
        self._channels = channels
        self._redactor = redactor
        self._losses = losses
        self._kind_of = kind_of
        self._clock_ns = clock_ns
        self._jitter = jitter or random.Random().random  # noqa: S311
        self._sent_ns: dict[str, deque[int]] = defaultdict(deque)
        self._limited: set[str] = set()
        """Channels that have reached the rate limit: their next notification is a digest."""
        self._finished: dict[str, QueuedNotification] = {}
        """Finished notifications that the unavailable store still has: they are not sent again."""
        self.failing: dict[str, str] = {}
        """Channels whose last notification was not delivered, and the reasons."""

    def deliver(self, until: float | None = None, monotonic: Callable[[], float] = time.monotonic) -> bool:
        """Deliver what is due.

        Args:
            until: Deadline in seconds of the monotonic clock. None: until nothing is due.
            monotonic: The monotonic clock.

        Returns:
            Whether everything was delivered that could be delivered now.
        """
        while True:
            ready = [name for name in self._channels.configured if self._below_limit(name)]
            try:
                due = self._store.due(self._clock_ns(), ready, _MAX_DIGEST)
            except AlertStoreUnavailableError as error:
                _logger.debug("queued notifications cannot be read: %s", error)
                return False
            finished = [one for one in due if one.id in self._finished]
            if finished and not self._finish(finished):
                return False
            due = [one for one in due if one not in finished]
            if not due and not finished:
                return True
            for channel, queued in _by_channel(due).items():
                if until is not None and monotonic() >= until:
                    return False
                self._deliver_to(channel, queued)

    def close(self) -> None:
        """Close connections."""
        self._channels.close()

    def _deliver_to(self, channel: str, queued: Sequence[QueuedNotification]) -> None:
        """Deliver a channel's notifications until one fails; as a digest if the rate limit was reached before."""
        if channel in self._limited and len(queued) > 1 and self._kind_of(channel) not in _NO_DIGEST:
            digest = replace(queued[0], body=_digest([one.body for one in queued]))
            if self._send(digest, queued):
                self._limited.discard(channel)
            return
        self._limited.discard(channel)
        for notification in queued:
            if not self._below_limit(channel):
                self._limited.add(channel)
                return
            if not self._send(notification, [notification]):
                return

    def _send(self, notification: QueuedNotification, replaces: Sequence[QueuedNotification]) -> bool:
        """Send one notification. Returns whether it is finished: delivered or dropped."""
        try:
            notifier = self._channels.notifier(notification.channel)
            # Our own requests must not become spans of an instrumented HTTP client.
            with suppress_instrumentation():
                notifier.send(redacted(notification.body, self._redactor))
        except TryLaterError as error:
            return self._retry_later(notification, replaces, error)
        except (NotDeliveredError, ConfigurationError) as error:
            self._drop(notification, replaces, str(error))
            return True
        except BaseException as error:
            raise_interrupt(error)
            _logger.debug("a notification could not be sent", exc_info=True)
            self._drop(notification, replaces, f"{notification.channel}: {type(error).__name__}")
            return True
        self.failing.pop(notification.channel, None)
        self._sent_ns[notification.channel].append(self._clock_ns())
        self._finish(replaces)
        return True

    def _retry_later(
        self, notification: QueuedNotification, replaces: Sequence[QueuedNotification], error: TryLaterError
    ) -> bool:
        self.failing[notification.channel] = self._redactor.text(str(error))
        attempts = notification.attempts + 1
        if attempts >= self._policy.attempts:
            self._drop(notification, replaces, f"{error}; {attempts} attempts")
            return True
        pause_s = self._policy.retry_first_s * 2.0**notification.attempts
        pause_s = min(self._policy.retry_max_s, pause_s) * (1 + self._jitter() / 4)
        if error.after_s is not None:
            pause_s = max(pause_s, min(error.after_s, self._policy.retry_max_s * 4))
        try:
            self._store.postpone(replaces[0], self._clock_ns() + int(pause_s * SECOND_NS))
        except AlertStoreUnavailableError as unavailable:
            _logger.debug("a failed attempt could not be stored: %s", unavailable)
        return False

    def _drop(
        self, notification: QueuedNotification, replaces: Sequence[QueuedNotification], reason: str
    ) -> None:
        reason = self._redactor.text(reason)  # a response may repeat the request
        self.failing[notification.channel] = reason
        self._losses.add(STAGE, f"undelivered.{notification.channel}", len(replaces))
        _logger.error("an alert could not be delivered to %s: %s", notification.channel, reason)
        self._finish(replaces)

    def _finish(self, notifications: Sequence[QueuedNotification]) -> bool:
        """Remove notifications from the queue. Returns False if the store is unavailable; it is tried again later."""
        try:
            self._store.remove(notifications)
        except AlertStoreUnavailableError as error:
            self._finished.update({one.id: one for one in notifications})
            _logger.debug("finished notifications could not be removed: %s", error)
            return False
        for one in notifications:
            self._finished.pop(one.id, None)
        return True

    def _below_limit(self, channel: str) -> bool:
        """Return whether the rate limit allows another notification to the channel."""
        sent = self._sent_ns[channel]
        since_ns = self._clock_ns() - int(self._policy.per_s * SECOND_NS)
        while sent and sent[0] <= since_ns:
            sent.popleft()
        if len(sent) < self._policy.max_messages:
            return True
        self._limited.add(channel)
        return False


def _by_channel(notifications: Sequence[QueuedNotification]) -> dict[str, list[QueuedNotification]]:
    found: dict[str, list[QueuedNotification]] = defaultdict(list)
    for one in notifications:
        found[one.channel].append(one)
    return found


def _digest(bodies: Sequence[Notification]) -> Notification:
    """Return one notification that replaces several."""
    urgencies = ("critical", "error", "warning", "info")
    counts = Counter(body.title for body in bodies)
    worst = min(bodies, key=lambda body: urgencies.index(body.urgency))
    newest_ns = max(body.notified_ns for body in bodies)
    facts = tuple((f"{count} of" if count > 1 else "Alert", title) for title, count in counts.most_common(9))
    return replace(
        worst,
        action="trigger",
        alert_id=f"several-{newest_ns:x}",  # the digest is about several alerts
        rule="",
        subject="",
        acknowledge_command="",
        notified_ns=newest_ns,
        title=f"{len(bodies)} alerts in one message: the rate limit was reached",
        reason=f"{len(counts)} different ones; see mita-otel alerts status",
        facts=facts,
    )
