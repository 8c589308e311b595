"""The sections of a policy on notification channels and delivery."""

import re
from typing import Annotated, Final, Literal

from mita_otel.policy.section import Bounds, PositiveInt, Seconds, Section, Validator

_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_ADDRESS: Final = re.compile(r"[^@\s,;<>]+@[^@\s,;<>]+\Z")


def _variable(name: str) -> None:
    if name and not _VARIABLE.match(name):
        raise ValueError(
            f"{name[:20]!r} is not the name of an environment variable; put the address or key itself into a "
            "variable, and the variable's name here, as in SLACK_FINANCE_WEBHOOK"
        )


def _address(text: str) -> None:
    if not _ADDRESS.match(text):
        raise ValueError(f"{text!r} is not an e-mail address; write one address, as in team@bank.example")


VariableName = Annotated[str, Validator(_variable)]
Address = Annotated[str, Validator(_address)]

ChannelKind = Literal["slack", "pagerduty", "email", "webhook", "apprise"]
"""How a notification is sent."""


class ChannelPolicy(Section):
    """A destination of notifications. Secrets (URLs, keys) are in environment variables; the policy has only their names."""

    kind: ChannelKind
    """`slack`: an incoming webhook. `pagerduty`: the Events API v2. `email`: SMTP. `webhook`: JSON to any URL.
    `apprise`: whatever the package apprise reaches."""
    variable: VariableName = ""
    """Name of the environment variable that holds the webhook's URL, PagerDuty's integration key, or apprise's URL.
    If it is not set, the channel is not used."""
    to: tuple[Address, ...] = ()
    """Recipients of e-mail."""
    sentry: str = ""
    """The destination of Sentry's alerts: the Slack channel, the PagerDuty service or, for e-mail, the team."""
    instead: str = ""
    """The channel that is used while this one is not configured."""
    signing_variable: VariableName = ""
    """Name of the variable with the key that signs requests to a webhook. Empty: they are not signed."""

    def check(self) -> None:
        """Require a destination."""
        if self.kind == "email":
            if not self.to:
                raise ValueError('an e-mail channel needs addresses; add to = ["team@bank.example"]')
        elif not self.variable:
            raise ValueError(
                f"a {self.kind} channel needs the name of a variable; add variable, as in "
                'variable = "SLACK_FINANCE_WEBHOOK"'
            )


class EmailPolicy(Section):
    """E-mail. The server is named by `MITA_OTEL_SMTP_URL`; without it no e-mail is sent."""

    sender: Address
    """Sender of e-mail."""
    starttls: Literal["required", "if_offered", "off"]
    """Whether a connection to an `smtp://` server is encrypted with STARTTLS. `smtps://` always is encrypted."""
    placeholder_domain: str
    """Addresses of this domain are placeholders. Only a sender of the same domain sends to them."""

    def placeholders(self, to: tuple[str, ...]) -> tuple[str, ...]:
        """Return those of the addresses that nothing is sent to."""
        domain = f"@{self.placeholder_domain}"
        if not self.placeholder_domain or self.sender.endswith(domain):
            return ()
        return tuple(one for one in to if one.endswith(domain))


class DeliveryPolicy(Section):
    """Delivery of notifications, outside of requests and with bounds."""

    timeout_s: Seconds
    """Seconds that one attempt may take."""
    attempts: Annotated[int, Bounds(ge=1, le=50)]
    """Attempts after which a notification is dropped, counted and logged."""
    retry_first_s: Seconds
    """Seconds after a first failure; doubled after each further one. A `Retry-After` header wins."""
    retry_max_s: Seconds
    """Longest delay between two attempts, in seconds."""
    max_messages: PositiveInt
    """Notifications to one channel within `per_s`. Further ones wait and are then sent as one."""
    per_s: Seconds
    """See `max_messages`."""
    max_waiting: PositiveInt
    """Notifications that may wait for delivery. Beyond that the oldest is dropped and counted."""
    pagerduty_url: Annotated[str, Bounds(pattern=r"^https?://")]
    """URL of PagerDuty's Events API; in the EU region `https://events.eu.pagerduty.com/v2/enqueue`."""
