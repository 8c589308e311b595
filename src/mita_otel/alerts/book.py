"""Where alerts are kept, and what was counted: in memory, or in the store for all workers together."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from mita_otel.alerts.alert import Alert
from mita_otel.alerts.notification import Notification
from mita_otel.alerts.points import Point, Sums
from mita_otel.alerts.silence import Silence


class BookUnavailableError(Exception):
    """The book does not answer now; it may later."""


@dataclass(frozen=True, slots=True)
class Message:
    """A notification on its way to a channel."""

    id: str
    channel: str
    body: Notification
    created_ns: int
    attempts: int = 0
    """Tries so far."""
    due_ns: int = 0
    """Not before: nanoseconds since the epoch."""


class Turn(Protocol):
    """The book while nobody else writes in it; what is written is there at the end of the turn, or not at all."""

    def fresh(self, rule: str) -> list[Point]:
        """Return the points that no turn has seen; they count as seen from now on."""

    def between(self, rule: str, subject: str, from_ns: int, to_ns: int) -> list[Point]:
        """Return a rule's points about a subject from one time to another, both included."""

    def sums(self, rule: str, since_ns: int) -> dict[str, Sums]:
        """Return what was counted since then, by subject."""

    def points(self, rule: str, since_ns: int) -> list[Point]:
        """Return the points since then."""

    def first_ns(self, rule: str) -> int | None:
        """Return when the rule's first point was; None: it has none."""

    def alerts(self) -> list[Alert]:
        """Return every alert that is known, open or not."""

    def put(self, alert: Alert) -> None:
        """Keep an alert, in the place of the one with its id."""

    def silences(self) -> list[Silence]:
        """Return the silences."""

    def send(self, messages: Sequence[Message]) -> None:
        """Queue messages for delivery."""

    def forget(self, rule: str, before_ns: int) -> None:
        """Forget the rule's points that are older."""

    def forget_closed(self, before_ns: int) -> None:
        """Forget alerts that were over before then, and silences."""


class AlertBook(Protocol):
    """Everything that has to be remembered. Every method may raise `BookUnavailableError`."""

    shared: bool
    """Whether other processes, and the command line, see it."""

    def add(self, points: Iterable[Point]) -> None:
        """Add what was counted."""

    def leads(self) -> bool:
        """Return whether this process is the one that looks at the rules and delivers; renew that it is."""

    def turn(self) -> AbstractContextManager[Turn]:
        """Begin a turn."""

    def waiting(self) -> int:
        """Return how many messages wait for delivery."""

    def next_messages(self, now_ns: int, channels: Collection[str], limit: int) -> list[Message]:
        """Return the messages that are due: of a channel the oldest first, and none that waits for one before it.

        Args:
            now_ns: The time.
            channels: The channels that may be sent to.
            limit: How many of one channel at most.
        """

    def delivered(self, messages: Sequence[Message]) -> None:
        """Forget messages: they have arrived, or were given up."""

    def try_later(self, message: Message, due_ns: int) -> None:
        """Note that a try failed."""

    def silence(self, silence: Silence) -> None:
        """Keep a silence."""

    def end_silence(self, silence_id: str, now_ns: int) -> bool:
        """End a silence. False: there is none with that id."""

    def acknowledge(self, alert_id: str, by: str, now_ns: int) -> Alert | None:
        """Note that somebody takes care of an open alert. None: none is open with that id."""

    def close(self) -> None:
        """Let go of connections, and of being the one that leads."""
