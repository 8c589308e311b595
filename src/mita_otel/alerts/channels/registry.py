"""The policy's channels by name: which are configured, and the notifier of each."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from mita_otel import environment_variables as variables
from mita_otel.errors import ConfigurationError
from mita_otel.policy.alerts import AlertPolicy
from mita_otel.policy.channels import ChannelPolicy
from mita_otel.processors.queues.forks import after_fork_in_child

if TYPE_CHECKING:
    import httpx

    from mita_otel.alerts.channels.notifier import Notifier

INSTALL: Final = "pip install 'mita-otel[alerts]'"


class Channels:
    """Creates the notifiers of channels when they are first used.

    Args:
        policy: The channels.
        env: The environment variables, which hold the secrets.
    """

    def __init__(self, policy: AlertPolicy, env: Mapping[str, str]) -> None:
        self._policy = policy
        self._env = env
        self._client: httpx.Client | None = None
        self._notifiers: dict[str, Notifier] = {}
        after_fork_in_child(self._discard_connections)

    def missing(self, name: str) -> str:
        """Return what a channel lacks to be configured, as a sentence; empty: it is configured."""
        channel = self._policy.channels[name]
        if channel.kind != "email":
            return "" if self._secret(channel.variable) else f"{channel.variable} is not set"
        if not self._env.get(variables.SMTP_URL, "").strip():
            return f"{variables.SMTP_URL} is not set"
        placeholders = self._policy.email.placeholders(channel.to)
        if placeholders:
            return (
                f"{', '.join(placeholders)} is a placeholder; set your own address in alerts.channels.{name}.to "
                "(a sender of the same domain uses it as it is)"
            )
        return ""

    def resolve(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Return the channels to use for these: each configured channel, and the fallback of each other one."""
        found = (self._configured_or_fallback(name) for name in names)
        return tuple(dict.fromkeys(name for name in found if name))

    @property
    def configured(self) -> tuple[str, ...]:
        """The configured channels."""
        return tuple(name for name in self._policy.channels if not self.missing(name))

    def notifier(self, name: str) -> Notifier:
        """Return the notifier of a channel.

        Raises:
            ConfigurationError: A setting is invalid, or a package is not installed.
        """
        if name not in self._notifiers:
            self._notifiers[name] = self._new_notifier(self._policy.channels[name])
        return self._notifiers[name]

    def close(self) -> None:
        """Close connections."""
        for notifier in self._notifiers.values():
            notifier.close()
        self._notifiers = {}
        if self._client is not None:
            with suppress(Exception):
                self._client.close()
            self._client = None

    def _discard_connections(self) -> None:
        """Discard connections without closing them: after a fork they belong to the parent."""
        self._notifiers = {}
        self._client = None

    def _configured_or_fallback(self, name: str) -> str:
        tried: set[str] = set()
        while name and name not in tried and name in self._policy.channels:
            if not self.missing(name):
                return name
            tried.add(name)
            name = self._policy.channels[name].instead
        return ""

    def _new_notifier(self, channel: ChannelPolicy) -> Notifier:
        if channel.kind == "email":
            # Imported here, so that a service without e-mail does not pay for it.
            from mita_otel.alerts.channels.mail import MailNotifier, MailServer

            server = MailServer.from_url(self._env.get(variables.SMTP_URL, ""))
            return MailNotifier(
                server, self._policy.email, channel.to, timeout_s=self._policy.delivery.timeout_s
            )
        if channel.kind != "apprise":
            self._http_client()  # first, since a missing package is not the variable's fault
        try:
            return self._notifier_of_variable(channel)
        except ConfigurationError as error:
            raise ConfigurationError(f"{channel.variable}: {error}") from error

    def _notifier_of_variable(self, channel: ChannelPolicy) -> Notifier:
        secret = self._secret(channel.variable)
        if channel.kind == "apprise":
            from mita_otel.alerts.channels.apprise import AppriseNotifier

            return AppriseNotifier(secret)
        client = self._http_client()
        match channel.kind:
            case "slack":
                from mita_otel.alerts.channels.slack import SlackNotifier

                return SlackNotifier(secret, client)
            case "pagerduty":
                from mita_otel.alerts.channels.pagerduty import PagerDutyNotifier

                return PagerDutyNotifier(secret, self._policy.delivery.pagerduty_url, client)
        from mita_otel.alerts.channels.webhook import WebhookNotifier

        return WebhookNotifier(secret, client, self._secret(channel.signing_variable))

    def _http_client(self) -> Any:
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
