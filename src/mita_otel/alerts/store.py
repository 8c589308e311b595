"""Where alerts, samples, silences and queued notifications are kept: in memory, or in the database for all workers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from mita_otel.alerts.alert import Alert, Silence
from mita_otel.alerts.events import Counts, Sample
from mita_otel.alerts.notification import Notification


class AlertStoreUnavailableError(Exception):
    """The store does not answer now; it may later."""


@dataclass(frozen=True, slots=True)
class QueuedNotification:
    """A notification that waits for delivery to a channel."""

    id: str
    channel: str
    body: Notification
    created_ns: int
    attempts: int = 0
    """Failed attempts so far."""
    due_ns: int = 0
    """Earliest time of the next attempt: nanoseconds since the epoch."""


class AlertTransaction(Protocol):
    """Exclusive access to the store. All changes are committed at the end, or none."""

    def unevaluated(self, rule: str) -> list[Sample]:
        """Return the samples that no transaction has returned yet, and mark them as evaluated."""

    def samples_between(self, rule: str, subject: str, from_ns: int, to_ns: int) -> list[Sample]:
        """Return a rule's samples of a subject between two times, both included."""

    def counts(self, rule: str, since_ns: int) -> dict[str, Counts]:
        """Return the sum of a rule's samples since a time, by subject."""

    def samples(self, rule: str, since_ns: int) -> list[Sample]:
        """Return a rule's samples since a time."""

    def first_ns(self, rule: str) -> int | None:
        """Return the time of a rule's first sample. None: it has no samples."""

    def alerts(self) -> list[Alert]:
        """Return all alerts, open and closed."""

    def save(self, alert: Alert) -> None:
        """Insert an alert, or replace the one with its id."""

    def silences(self) -> list[Silence]:
        """Return the silences."""

    def enqueue(self, notifications: Sequence[QueuedNotification]) -> None:
        """Queue notifications for delivery."""

    def delete_samples(self, rule: str, before_ns: int) -> None:
        """Delete a rule's evaluated samples before a time."""

    def delete_closed(self, before_ns: int) -> None:
        """Delete alerts and silences that ended before a time."""


class AlertStore(Protocol):
    """The state of a service's alerts. Every method may raise `AlertStoreUnavailableError`."""

    shared: bool
    """Whether other processes, and commands, see it."""

    def add_samples(self, samples: Iterable[Sample]) -> None:
        """Add samples."""

    def acquire_lease(self) -> bool:
        """Acquire or renew the lease to evaluate rules and deliver notifications. False: another process has it."""

    def transaction(self) -> AbstractContextManager[AlertTransaction]:
        """Begin a transaction."""

    def waiting(self) -> int:
        """Return the number of queued notifications."""

    def due(self, now_ns: int, channels: Collection[str], limit: int) -> list[QueuedNotification]:
        """Return the notifications to deliver now, in order by channel.

        A notification that is not due yet holds back the later ones of its channel.

        Args:
            now_ns: The current time.
            channels: Channels that may be sent to.
            limit: Maximum number for one channel.
        """

    def remove(self, notifications: Sequence[QueuedNotification]) -> None:
        """Remove notifications from the queue."""

    def postpone(self, notification: QueuedNotification, due_ns: int) -> None:
        """Count a failed attempt, and set the time of the next one."""

    def add_silence(self, silence: Silence) -> None:
        """Add a silence."""

    def end_silence(self, silence_id: str) -> bool:
        """End a silence. False: there is no silence with that id."""

    def acknowledge(self, alert_id: str, by: str, now_ns: int) -> Alert | None:
        """Acknowledge an open alert. None: no alert with that id is open."""

    def close(self) -> None:
        """Close connections."""


def select_due(
    queued: Iterable[QueuedNotification], now_ns: int, channels: Collection[str], limit: int
) -> list[QueuedNotification]:
    """Return the notifications to deliver now; see `AlertStore.due`.

    They stay in order, so that `resolve` never overtakes `trigger`.
    """
    by_channel: dict[str, list[QueuedNotification]] = {}
    for one in queued:
        if one.channel in channels:
            by_channel.setdefault(one.channel, []).append(one)
    return [one for waiting in by_channel.values() if waiting[0].due_ns <= now_ns for one in waiting[:limit]]
