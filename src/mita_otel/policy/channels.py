"""The sections of a policy that say where messages go, and how they are delivered."""

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
"""How a message travels."""


class ChannelPolicy(Section):
    """Where messages go. Secrets (URLs, keys) are in environment variables; only their names are here."""

    kind: ChannelKind
    """`slack`: an incoming webhook. `pagerduty`: the Events API v2. `email`: SMTP. `webhook`: JSON to any URL.
    `apprise`: whatever the package apprise reaches."""
    variable: VariableName = ""
    """Name of the environment variable that holds the webhook's URL, PagerDuty's integration key, or apprise's URL.
    Where it is not set, the channel is not used."""
    to: tuple[Address, ...] = ()
    """Whom e-mail goes to."""
    sentry: str = ""
    """What Sentry's own alerts use: the Slack channel, the PagerDuty service or, for e-mail, the team."""
    instead: str = ""
    """The channel that is used where this one has nowhere to go."""
    signing_variable: VariableName = ""
    """Name of the variable with the key that requests to a webhook are signed with; empty: they are not."""

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
    """Whom e-mail comes from."""
    starttls: Literal["required", "if_offered", "off"]
    """Whether a connection to an `smtp://` server is encrypted before anything is said. `smtps://` always is."""
    placeholder_domain: str
    """Addresses of this domain are placeholders: only a sender of the same domain sends to them."""

    def placeholders(self, to: tuple[str, ...]) -> tuple[str, ...]:
        """Return those of the addresses that nothing is sent to."""
        domain = f"@{self.placeholder_domain}"
        if not self.placeholder_domain or self.sender.endswith(domain):
            return ()
        return tuple(one for one in to if one.endswith(domain))


class DeliveryPolicy(Section):
    """How messages are delivered: off the request path, with bounds."""

    timeout_s: Seconds
    """Seconds that one try may take."""
    attempts: Annotated[int, Bounds(ge=1, le=50)]
    """Tries after which a message is given up, counted and said."""
    retry_first_s: Seconds
    """Seconds after a first failure; doubled after each further one. A server that says how long wins."""
    retry_max_s: Seconds
    """Most seconds between two tries."""
    max_messages: PositiveInt
    """Messages to one channel within `per_s`. What is more waits, and is then told in one message."""
    per_s: Seconds
    """See `max_messages`."""
    max_waiting: PositiveInt
    """Messages that may wait for delivery. One more, and the oldest is dropped and counted."""
    pagerduty_url: Annotated[str, Bounds(pattern=r"^https?://")]
    """Where PagerDuty takes events; of the EU region `https://events.eu.pagerduty.com/v2/enqueue`."""
