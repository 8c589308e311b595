"""Every service that the package apprise supports: Teams, Telegram, SMS and others. Without acknowledgements."""

from __future__ import annotations

from typing import Any, Final

from mita_otel.alerts.channels.notifier import RefusedError, TryLaterError
from mita_otel.alerts.notification import Notification
from mita_otel.errors import ConfigurationError

_TYPES: Final = {"critical": "failure", "error": "failure", "warning": "warning", "info": "info"}


class AppriseNotifier:
    """Sends with apprise.

    Args:
        url: Apprise's URL of a service: a secret.

    Raises:
        ConfigurationError: The extra `apprise` is not installed, or apprise does not support the URL.
    """

    def __init__(self, url: str) -> None:
        try:
            import apprise
        except ImportError as error:
            raise ConfigurationError(
                "a channel of the kind apprise needs apprise; install it with: pip install 'mita-otel[apprise]'"
            ) from error
        self._apprise: Any = apprise.Apprise()
        if not self._apprise.add(url):
            raise ConfigurationError("apprise does not support the URL; check the variable")

    def send(self, notification: Notification) -> str:
        """Send the notification."""
        kind = "success" if notification.action == "resolve" else _TYPES[notification.urgency]
        lines = [notification.reason, *(f"{label}: {text}" for label, text in notification.facts)]
        test = "Test: " if notification.is_test else ""
        try:
            sent = self._apprise.notify(
                title=f"{test}[{notification.environment}] {notification.title}",
                body="\n".join(lines),
                notify_type=kind,
            )
        except TypeError as error:
            raise RefusedError(f"apprise: {error}") from error
        if not sent:
            raise TryLaterError("apprise: the notification was not sent; the log of apprise has the reason")
        return "sent"

    def close(self) -> None:
        """Do nothing: apprise keeps no connections."""
