"""What a way to people can do, and how it can fail."""

from __future__ import annotations

from typing import Protocol

from mita_otel.alerts.notification import Notification


class NotDeliveredError(Exception):
    """A message did not arrive; the text says why, and holds no secret."""


class TryLaterError(NotDeliveredError):
    """It may arrive later: the receiver is busy, or does not answer.

    Args:
        why: Why it did not arrive.
        after_s: Seconds that the receiver asks to be left alone. None: it did not say.
    """

    def __init__(self, why: str, after_s: float | None = None) -> None:
        super().__init__(why)
        self.after_s = after_s


class RefusedError(NotDeliveredError):
    """It will never arrive like this: a setting is wrong, or the receiver does not take it."""


class Notifier(Protocol):
    """A way to people. One message at a time; may take its time."""

    def send(self, notification: Notification, /) -> str:
        """Deliver a redacted message.

        Returns:
            What the receiver knows it by, or said.

        Raises:
            TryLaterError: It may arrive later.
            RefusedError: It will never arrive like this.
        """

    def close(self) -> None:
        """Let go of connections."""
