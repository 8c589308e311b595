"""The protocol of notifiers, and their errors."""

from __future__ import annotations

from typing import Protocol

from mita_otel.alerts.notification import Notification


class NotDeliveredError(Exception):
    """A notification was not delivered. The message holds the reason, and no secrets."""


class TryLaterError(NotDeliveredError):
    """A later attempt may succeed: the receiver is busy, or does not answer.

    Args:
        reason: Why it was not delivered.
        after_s: Seconds to wait that the receiver asks for. None: it does not ask.
    """

    def __init__(self, reason: str, after_s: float | None = None) -> None:
        super().__init__(reason)
        self.after_s = after_s


class RefusedError(NotDeliveredError):
    """A repetition cannot succeed: a setting is wrong, or the receiver rejects the notification."""


class Notifier(Protocol):
    """Sends notifications, one at a time. May block."""

    def send(self, notification: Notification, /) -> str:
        """Deliver a redacted notification.

        Returns:
            The receiver's id of it, or its response.

        Raises:
            TryLaterError: A later attempt may succeed.
            RefusedError: A repetition cannot succeed.
        """

    def close(self) -> None:
        """Close connections."""
