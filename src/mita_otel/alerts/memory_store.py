"""The alert store of a single process. Nothing survives the process."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from mita_otel.alerts.alert import Alert, Silence
from mita_otel.alerts.events import Counts, Sample
from mita_otel.alerts.store import QueuedNotification, select_due
from mita_otel.processors.queues.forks import after_fork_in_child


class MemoryAlertStore:
    """An `AlertStore` that is its own `AlertTransaction`. Bounded.

    Args:
        max_samples: Samples of one rule; the oldest are dropped.
        max_queued: Queued notifications; the oldest are dropped.
        on_loss: Called with `samples` or `notifications` and the number that was dropped.
    """

    def __init__(
        self,
        *,
        max_samples: int,
        max_queued: int,
        on_loss: Callable[[str, int], None] = lambda what, count: None,
    ) -> None:
        self.shared = False
        """No other process sees it."""
        self._max_samples = max_samples
        self._max_queued = max_queued
        self._on_loss = on_loss
        self._reset()
        after_fork_in_child(self._reset)

    def _reset(self) -> None:
        self._lock = threading.RLock()
        self._samples: dict[str, deque[Sample]] = defaultdict(deque)
        self._unevaluated: Counter[str] = Counter()
        """Number of samples at the end of a rule's deque that are not evaluated yet."""
        self._first_ns: dict[str, int] = {}
        self._alerts: dict[str, Alert] = {}
        self._silences: dict[str, Silence] = {}
        self._queue: dict[str, QueuedNotification] = {}

    # -- AlertStore -----------------------------------------------------------------------------------
    def add_samples(self, samples: Iterable[Sample]) -> None:
        """Add samples."""
        with self._lock:
            for sample in samples:
                rule = sample.rule
                kept = self._samples[rule]
                kept.append(sample)
                self._unevaluated[rule] += sample.single
                self._first_ns[rule] = min(sample.at_ns, self._first_ns.get(rule, sample.at_ns))
                if len(kept) > self._max_samples:
                    kept.popleft()
                    if self._unevaluated[rule] > len(kept):
                        self._unevaluated[rule] = len(kept)
                        self._on_loss("samples", 1)

    def acquire_lease(self) -> bool:
        """Return True: no other process shares the store."""
        return True

    @contextmanager
    def transaction(self) -> Iterator[MemoryAlertStore]:
        """Begin a transaction."""
        with self._lock:
            yield self

    def waiting(self) -> int:
        """Return the number of queued notifications."""
        return len(self._queue)

    def due(self, now_ns: int, channels: Collection[str], limit: int) -> list[QueuedNotification]:
        """Return the notifications to deliver now."""
        with self._lock:
            return select_due(self._queue.values(), now_ns, channels, limit)

    def remove(self, notifications: Sequence[QueuedNotification]) -> None:
        """Remove notifications from the queue."""
        with self._lock:
            for one in notifications:
                self._queue.pop(one.id, None)

    def postpone(self, notification: QueuedNotification, due_ns: int) -> None:
        """Count a failed attempt, and set the time of the next one."""
        with self._lock:
            if notification.id in self._queue:
                attempts = notification.attempts + 1
                self._queue[notification.id] = replace(notification, attempts=attempts, due_ns=due_ns)

    def add_silence(self, silence: Silence) -> None:
        """Add a silence."""
        with self._lock:
            self._silences[silence.id] = silence

    def end_silence(self, silence_id: str) -> bool:
        """End a silence."""
        with self._lock:
            return self._silences.pop(silence_id, None) is not None

    def acknowledge(self, alert_id: str, by: str, now_ns: int) -> Alert | None:
        """Acknowledge an open alert."""
        with self._lock:
            alert = self._alerts.get(alert_id)
            if alert is None or not alert.open:
                return None
            if not alert.acknowledged_ns:
                alert = replace(alert, acknowledged_ns=now_ns, acknowledged_by=by)
                self._alerts[alert_id] = alert
            return alert

    def close(self) -> None:
        """Do nothing: there are no connections."""

    # -- AlertTransaction -----------------------------------------------------------------------------
    def unevaluated(self, rule: str) -> list[Sample]:
        """Return the samples that are not evaluated yet, and mark them as evaluated."""
        count = self._unevaluated.pop(rule, 0)
        return list(self._samples[rule])[-count:] if count else []

    def samples_between(self, rule: str, subject: str, from_ns: int, to_ns: int) -> list[Sample]:
        """Return a rule's samples of a subject between two times."""
        return [
            one for one in self._samples[rule] if one.subject == subject and from_ns <= one.at_ns <= to_ns
        ]

    def counts(self, rule: str, since_ns: int) -> dict[str, Counts]:
        """Return the sum of a rule's samples since a time, by subject."""
        found: dict[str, Counts] = defaultdict(Counts)
        for sample in self._samples[rule]:
            if sample.at_ns >= since_ns:
                found[sample.subject].add(sample.hits, sample.total)
        return found

    def samples(self, rule: str, since_ns: int) -> list[Sample]:
        """Return a rule's samples since a time."""
        return [one for one in self._samples[rule] if one.at_ns >= since_ns]

    def first_ns(self, rule: str) -> int | None:
        """Return the time of a rule's first sample."""
        return self._first_ns.get(rule)

    def alerts(self) -> list[Alert]:
        """Return all alerts."""
        return list(self._alerts.values())

    def save(self, alert: Alert) -> None:
        """Insert or replace an alert."""
        self._alerts[alert.id] = alert

    def silences(self) -> list[Silence]:
        """Return the silences."""
        return list(self._silences.values())

    def enqueue(self, notifications: Sequence[QueuedNotification]) -> None:
        """Queue notifications for delivery."""
        self._queue.update({one.id: one for one in notifications})
        excess = max(0, len(self._queue) - self._max_queued)
        for oldest in list(self._queue)[:excess]:
            del self._queue[oldest]
        if excess:
            self._on_loss("notifications", excess)

    def delete_samples(self, rule: str, before_ns: int) -> None:
        """Delete a rule's evaluated samples before a time."""
        kept = self._samples[rule]
        while len(kept) > self._unevaluated[rule] and kept[0].at_ns < before_ns:
            kept.popleft()

    def delete_closed(self, before_ns: int) -> None:
        """Delete alerts and silences that ended before a time."""
        for alert in list(self._alerts.values()):
            if not alert.open and alert.closed_ns < before_ns:
                del self._alerts[alert.id]
        for silence in list(self._silences.values()):
            if silence.until_ns < before_ns:
                del self._silences[silence.id]
