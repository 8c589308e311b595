"""The channels of the policy as they are here: which have somewhere to go, and what carries their messages."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from mita_otel import environment_variables as variables
from mita_otel.alerts.channels.notifier import Notifier
from mita_otel.errors import ConfigurationError
from mita_otel.policy.alerts import AlertPolicy
from mita_otel.policy.channels import ChannelPolicy
from mita_otel.processors.queues.forks import after_fork_in_child

if TYPE_CHECKING:
    import httpx

INSTALL: Final = "pip install 'mita-otel[alerts]'"


class Ways:
    """Channels by name, made ready.

    Args:
        policy: The channels.
        env: The environment variables, which hold the secrets.
    """

    def __init__(self, policy: AlertPolicy, env: Mapping[str, str]) -> None:
        self._policy = policy
        self._env = env
        self._client: httpx.Client | None = None
        self._notifiers: dict[str, Notifier] = {}
        after_fork_in_child(self._forget)

    def missing(self, name: str) -> str:
        """Return what a channel lacks before it can be used, as a sentence; empty: nothing."""
        channel = self._policy.channels[name]
        if channel.kind != "email":
            return "" if self._secret(channel.variable) else f"{channel.variable} is not set"
        if not self._env.get(variables.SMTP_URL, "").strip():
            return f"{variables.SMTP_URL} is not set"
        placeholders = self._policy.email.placeholders(channel.to)
        if placeholders:
            return (
                f"{', '.join(placeholders)} is a placeholder; write your own in alerts.channels.{name}.to "
                "(a sender of that domain sends to it as it is)"
            )
        return ""

    def ready(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Return the channels to use in place of these: each that has somewhere to go, else the one instead of it."""
        found = (self._or_instead(name) for name in names)
        return tuple(dict.fromkeys(name for name in found if name))

    def lost(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Return those of the channels that neither have somewhere to go nor one instead that has."""
        return tuple(name for name in names if not self._or_instead(name))

    @property
    def usable(self) -> tuple[str, ...]:
        """The channels that have somewhere to go."""
        return tuple(name for name in self._policy.channels if not self.missing(name))

    def notifier(self, name: str) -> Notifier:
        """Return what carries a channel's messages.

        Raises:
            ConfigurationError: Its setting cannot be used, or what it needs is not installed.
        """
        if name not in self._notifiers:
            self._notifiers[name] = self._make(self._policy.channels[name])
        return self._notifiers[name]

    def close(self) -> None:
        """Let go of connections."""
        for notifier in self._notifiers.values():
            notifier.close()
        self._notifiers = {}
        if self._client is not None:
            with suppress(Exception):
                self._client.close()
            self._client = None

    def _forget(self) -> None:
        """Forget connections: after a fork they belong to the parent."""
        self._notifiers = {}
        self._client = None

    def _or_instead(self, name: str) -> str:
        tried: set[str] = set()
        while name and name not in tried and name in self._policy.channels:
            if not self.missing(name):
                return name
            tried.add(name)
            name = self._policy.channels[name].instead
        return ""

    def _make(self, channel: ChannelPolicy) -> Notifier:
        if channel.kind == "email":
            # Imported where it is used: a service without e-mail does not pay for it.
            from mita_otel.alerts.channels.mail import MailNotifier, MailServer

            server = MailServer.from_url(self._env.get(variables.SMTP_URL, ""))
            return MailNotifier(
                server, self._policy.email, channel.to, timeout_s=self._policy.delivery.timeout_s
            )
        if channel.kind != "apprise":
            self._http()  # whatever is not installed is no variable's fault
        try:
            return self._make_from_variable(channel)
        except ConfigurationError as error:
            raise ConfigurationError(f"{channel.variable}: {error}") from error

    def _make_from_variable(self, channel: ChannelPolicy) -> Notifier:
        secret = self._secret(channel.variable)
        if channel.kind == "apprise":
            from mita_otel.alerts.channels.by_apprise import AppriseNotifier

            return AppriseNotifier(secret)
        client = self._http()
        match channel.kind:
            case "slack":
                from mita_otel.alerts.channels.slack import SlackNotifier

                return SlackNotifier(secret, client)
            case "pagerduty":
                from mita_otel.alerts.channels.pagerduty import PagerDutyNotifier

                return PagerDutyNotifier(secret, self._policy.delivery.pagerduty_url, client)
        from mita_otel.alerts.channels.webhook import WebhookNotifier

        return WebhookNotifier(secret, client, self._secret(channel.signing_variable))

    def _http(self) -> Any:
        if self._client is None:
            try:
                import httpx
            except ImportError as error:
                raise ConfigurationError(
                    f"alerts to Slack, PagerDuty and webhooks need httpx; install it with: {INSTALL}"
                ) from error
            self._client = httpx.Client(timeout=self._policy.delivery.timeout_s, follow_redirects=False)
        return self._client

    def _secret(self, variable: str) -> str:
        return self._env.get(variable, "").strip() if variable else ""
