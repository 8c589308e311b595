"""Delivers messages: in order, with patience and with bounds, on a thread of its own."""

from __future__ import annotations

import logging
import random
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from opentelemetry.instrumentation.utils import suppress_instrumentation

from mita_otel.alerts.book import AlertBook, BookUnavailableError, Message
from mita_otel.alerts.channels.notifier import NotDeliveredError, TryLaterError
from mita_otel.alerts.notification import Notification, redacted
from mita_otel.alerts.ways import Ways
from mita_otel.errors import ConfigurationError
from mita_otel.policy.channels import DeliveryPolicy
from mita_otel.processors.queues.losses import Losses
from mita_otel.redaction import Redactor

_logger = logging.getLogger("mita_otel.alerts")

SECOND_NS: Final = 1_000_000_000
STAGE: Final = "alerts"
_DIGEST: Final = 50
"""Messages that one message may stand for."""
_ONE_BY_ONE: Final = frozenset({"pagerduty"})
"""Kinds of channel whose messages cannot be told in one: each opens or closes an incident."""


class Courier:
    """Delivers what waits in a book.

    Args:
        policy: Tries, pauses, bounds.
        book: Where messages wait.
        ways: What carries them.
        redactor: The only door out: what comes out of the book passes it again.
        losses: Where messages that were given up are counted.
        kind_of: Returns a channel's kind.
        clock_ns: Nanoseconds since the epoch.
        jitter: Returns a number from 0 to 1. None: of a generator of its own, for the application may have seeded
            the common one.
    """

    def __init__(
        self,
        policy: DeliveryPolicy,
        book: AlertBook,
        ways: Ways,
        redactor: Redactor,
        losses: Losses,
        *,
        kind_of: Callable[[str], str],
        clock_ns: Callable[[], int] = time.time_ns,
        jitter: Callable[[], float] | None = None,
    ) -> None:
        self._policy = policy
        self._book = book
        self._ways = ways
        self._redactor = redactor
        self._losses = losses
        self._kind_of = kind_of
        self._clock_ns = clock_ns
        self._jitter = jitter or random.Random().random  # noqa: S311
        self._sent_ns: dict[str, deque[int]] = defaultdict(deque)
        self._capped: set[str] = set()
        self._settled: dict[str, Message] = {}
        """Messages that arrived, though the book could not be told: never to be sent again."""
        self.failing: dict[str, str] = {}
        """The channels whose last message did not arrive, and why."""

    def deliver(self, until: float | None = None, monotonic: Callable[[], float] = time.monotonic) -> bool:
        """Deliver what is due.

        Args:
            until: When to stop, in seconds of the monotonic clock. None: when nothing is due.
            monotonic: That clock.

        Returns:
            Whether nothing is left that could be delivered now.
        """
        while True:
            channels = self._ways.usable
            open_channels = [name for name in channels if self._room(name)]
            try:
                messages = self._book.next_messages(self._clock_ns(), open_channels, _DIGEST)
            except BookUnavailableError as error:
                _logger.debug("no messages can be read: %s", error)
                return False
            settled = [one for one in messages if one.id in self._settled]
            if settled and not self._done(settled):
                return False
            messages = [one for one in messages if one not in settled]
            if not messages and not settled:
                return True
            for channel, waiting in _by_channel(messages).items():
                if until is not None and monotonic() >= until:
                    return False
                self._deliver_to(channel, waiting)

    def close(self) -> None:
        """Let go of connections."""
        self._ways.close()

    def _deliver_to(self, channel: str, waiting: Sequence[Message]) -> None:
        """Deliver a channel's messages, as far as they arrive; in one, if there were too many before."""
        if channel in self._capped and len(waiting) > 1 and self._kind_of(channel) not in _ONE_BY_ONE:
            digest = replace(waiting[0], body=_digest([one.body for one in waiting]))
            if self._send(digest, waiting):
                self._capped.discard(channel)
            return
        self._capped.discard(channel)
        for message in waiting:
            if not self._room(channel):
                self._capped.add(channel)
                return
            if not self._send(message, [message]):
                return

    def _send(self, message: Message, stands_for: Sequence[Message]) -> bool:
        """Send one message. True if the channel is done with it: it arrived, or was given up."""
        try:
            notifier = self._ways.notifier(message.channel)
            # Our own requests must not become spans of an HTTP client's instrumentation.
            with suppress_instrumentation():
                notifier.send(redacted(message.body, self._redactor))
        except TryLaterError as error:
            return self._failed(message, stands_for, error)
        except (NotDeliveredError, ConfigurationError) as error:
            self._give_up(message, stands_for, str(error))
            return True
        except Exception as error:
            _logger.debug("a message could not be sent", exc_info=True)
            self._give_up(message, stands_for, f"{message.channel}: {type(error).__name__}")
            return True
        self.failing.pop(message.channel, None)
        self._sent_ns[message.channel].append(self._clock_ns())
        self._done(stands_for)
        return True

    def _failed(self, message: Message, stands_for: Sequence[Message], error: TryLaterError) -> bool:
        self.failing[message.channel] = self._redactor.text(str(error))
        if message.attempts + 1 >= self._policy.attempts:
            self._give_up(message, stands_for, f"{error}; tried {message.attempts + 1} times")
            return True
        pause_s = self._policy.retry_first_s * 2.0**message.attempts
        pause_s = min(self._policy.retry_max_s, pause_s) * (1 + self._jitter() / 4)
        if error.after_s is not None:
            pause_s = max(pause_s, min(error.after_s, self._policy.retry_max_s * 4))
        try:
            self._book.try_later(stands_for[0], self._clock_ns() + int(pause_s * SECOND_NS))
        except BookUnavailableError as trouble:
            _logger.debug("a failed try could not be noted: %s", trouble)
        return False

    def _give_up(self, message: Message, stands_for: Sequence[Message], why: str) -> None:
        why = self._redactor.text(why)  # a receiver's answer may repeat what it was sent
        self.failing[message.channel] = why
        self._losses.add(STAGE, f"undelivered.{message.channel}", len(stands_for))
        _logger.error("an alert could not be delivered to %s: %s", message.channel, why)
        self._done(stands_for)

    def _done(self, messages: Sequence[Message]) -> bool:
        """Take messages out of the book. False if it does not answer: they are remembered, and not sent again."""
        try:
            self._book.delivered(messages)
        except BookUnavailableError as error:
            self._settled.update({one.id: one for one in messages})
            _logger.debug("a delivery could not be noted: %s", error)
            return False
        for message in messages:
            self._settled.pop(message.id, None)
        return True

    def _room(self, channel: str) -> bool:
        """Return whether the channel may be sent to, as far as the cap goes."""
        sent = self._sent_ns[channel]
        since_ns = self._clock_ns() - int(self._policy.per_s * SECOND_NS)
        while sent and sent[0] <= since_ns:
            sent.popleft()
        if len(sent) < self._policy.max_messages:
            return True
        self._capped.add(channel)
        return False


def _by_channel(messages: Sequence[Message]) -> dict[str, list[Message]]:
    found: dict[str, list[Message]] = defaultdict(list)
    for message in messages:
        found[message.channel].append(message)
    return found


def _digest(bodies: Sequence[Notification]) -> Notification:
    """Return one notification that stands for several."""
    urgencies = ("critical", "error", "warning", "info")
    counts = Counter(body.title for body in bodies)
    worst = min(bodies, key=lambda body: urgencies.index(body.urgency))
    newest_ns = max(body.told_ns for body in bodies)
    facts = tuple((f"{count} of" if count > 1 else "Alert", title) for title, count in counts.most_common(9))
    return replace(
        worst,
        action="trigger",
        alert_id=f"several-{newest_ns:x}",  # it is about none of them alone
        rule="",
        subject="",
        acknowledging="",
        told_ns=newest_ns,
        title=f"{len(bodies)} alerts in one message: there were too many",
        reason=f"{len(counts)} different ones; see mita-otel alerts status",
        facts=facts,
    )
