"""The book of a process that counts for itself: nothing of it survives its end."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from mita_otel.alerts.alert import Alert
from mita_otel.alerts.book import Message
from mita_otel.alerts.points import Point, Sums
from mita_otel.alerts.silence import Silence
from mita_otel.processors.queues.forks import after_fork_in_child


class MemoryBook:
    """Both the book and its turns; bounded.

    Args:
        max_points: Points of one rule; the oldest go first.
        max_messages: Messages that may wait; the oldest go first.
        on_loss: Called with `points` or `messages` and how many were dropped for want of room.
    """

    def __init__(
        self,
        *,
        max_points: int,
        max_messages: int,
        on_loss: Callable[[str, int], None] = lambda what, count: None,
    ) -> None:
        self.shared = False
        """Nobody else sees it."""
        self._max_points = max_points
        self._max_messages = max_messages
        self._on_loss = on_loss
        self._forget_all()
        after_fork_in_child(self._forget_all)

    def _forget_all(self) -> None:
        self._lock = threading.RLock()
        self._points: dict[str, deque[Point]] = defaultdict(deque)
        self._unseen: Counter[str] = Counter()
        """How many of a rule's points, at its end, no turn has seen."""
        self._first_ns: dict[str, int] = {}
        self._alerts: dict[str, Alert] = {}
        self._silences: dict[str, Silence] = {}
        self._messages: dict[str, Message] = {}

    # -- the book -------------------------------------------------------------------------------------
    def add(self, points: Iterable[Point]) -> None:
        """Add what was counted."""
        with self._lock:
            for point in points:
                kept = self._points[point.rule]
                kept.append(point)
                self._unseen[point.rule] += point.single
                self._first_ns[point.rule] = min(point.at_ns, self._first_ns.get(point.rule, point.at_ns))
                if len(kept) > self._max_points:
                    kept.popleft()
                    if self._unseen[point.rule] > len(kept):
                        self._unseen[point.rule] = len(kept)
                        self._on_loss("points", 1)

    def leads(self) -> bool:
        """Return True: there is nobody else."""
        return True

    @contextmanager
    def turn(self) -> Iterator[MemoryBook]:
        """Begin a turn."""
        with self._lock:
            yield self

    def waiting(self) -> int:
        """Return how many messages wait for delivery."""
        return len(self._messages)

    def next_messages(self, now_ns: int, channels: Collection[str], limit: int) -> list[Message]:
        """Return what may be sent now: of each channel the oldest that waits, and those behind it."""
        with self._lock:
            return due_messages(self._messages.values(), now_ns, channels, limit)

    def delivered(self, messages: Sequence[Message]) -> None:
        """Forget messages."""
        with self._lock:
            for message in messages:
                self._messages.pop(message.id, None)

    def try_later(self, message: Message, due_ns: int) -> None:
        """Note that a try failed."""
        with self._lock:
            if message.id in self._messages:
                self._messages[message.id] = replace(message, attempts=message.attempts + 1, due_ns=due_ns)

    def silence(self, silence: Silence) -> None:
        """Keep a silence."""
        with self._lock:
            self._silences[silence.id] = silence

    def end_silence(self, silence_id: str, now_ns: int) -> bool:
        """End a silence."""
        with self._lock:
            return self._silences.pop(silence_id, None) is not None

    def acknowledge(self, alert_id: str, by: str, now_ns: int) -> Alert | None:
        """Note that somebody takes care of an open alert."""
        with self._lock:
            alert = self._alerts.get(alert_id)
            if alert is None or not alert.open:
                return None
            if not alert.acknowledged_ns:
                alert = self._alerts[alert_id] = alert.but(acknowledged_ns=now_ns, acknowledged_by=by)
            return alert

    def close(self) -> None:
        """Do nothing: there is nothing to let go of."""

    # -- a turn ---------------------------------------------------------------------------------------
    def fresh(self, rule: str) -> list[Point]:
        """Return the points that no turn has seen."""
        unseen = self._unseen.pop(rule, 0)
        return list(self._points[rule])[-unseen:] if unseen else []

    def between(self, rule: str, subject: str, from_ns: int, to_ns: int) -> list[Point]:
        """Return a rule's points about a subject from one time to another."""
        return [one for one in self._points[rule] if one.subject == subject and from_ns <= one.at_ns <= to_ns]

    def sums(self, rule: str, since_ns: int) -> dict[str, Sums]:
        """Return what was counted since then, by subject."""
        found: dict[str, Sums] = defaultdict(Sums)
        for point in self._points[rule]:
            if point.at_ns >= since_ns:
                found[point.subject].add(point.hits, point.total)
        return found

    def points(self, rule: str, since_ns: int) -> list[Point]:
        """Return the points since then."""
        return [one for one in self._points[rule] if one.at_ns >= since_ns]

    def first_ns(self, rule: str) -> int | None:
        """Return when the rule's first point was."""
        return self._first_ns.get(rule)

    def alerts(self) -> list[Alert]:
        """Return every alert that is known."""
        return list(self._alerts.values())

    def put(self, alert: Alert) -> None:
        """Keep an alert."""
        self._alerts[alert.id] = alert

    def silences(self) -> list[Silence]:
        """Return the silences."""
        return list(self._silences.values())

    def send(self, messages: Sequence[Message]) -> None:
        """Queue messages for delivery."""
        self._messages.update({one.id: one for one in messages})
        too_many = max(0, len(self._messages) - self._max_messages)
        for oldest in list(self._messages)[:too_many]:
            del self._messages[oldest]
        if too_many:
            self._on_loss("messages", too_many)

    def forget(self, rule: str, before_ns: int) -> None:
        """Forget older points, as far as turns have seen them."""
        kept = self._points[rule]
        while len(kept) > self._unseen[rule] and kept[0].at_ns < before_ns:
            kept.popleft()

    def forget_closed(self, before_ns: int) -> None:
        """Forget alerts and silences that were over before then."""
        for alert in list(self._alerts.values()):
            if not alert.open and alert.closed_ns < before_ns:
                del self._alerts[alert.id]
        for silence in list(self._silences.values()):
            if silence.until_ns < before_ns:
                del self._silences[silence.id]


def due_messages(
    messages: Iterable[Message], now_ns: int, channels: Collection[str], limit: int
) -> list[Message]:
    """Return what may be sent now: of each channel the oldest that waits, and those behind it.

    In order, since a message that an alert is over must not overtake the one that it began.
    """
    by_channel: dict[str, list[Message]] = defaultdict(list)
    for message in messages:
        if message.channel in channels:
            by_channel[message.channel].append(message)
    due: list[Message] = []
    for waiting in by_channel.values():
        if waiting[0].due_ns <= now_ns:
            due += waiting[:limit]
    return due
