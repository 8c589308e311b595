"""Checks of the alert channels: valid addresses and keys. `mita-otel test` sends messages, these checks do not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mita_otel import environment_variables as variables
from mita_otel.alerts.channels.mail import MailServer
from mita_otel.alerts.channels.registry import Channels
from mita_otel.errors import ConfigurationError
from mita_otel.policy import Policy
from mita_otel.sdk.health.check import Check, Status


def channel_checks(policy: Policy, env: Mapping[str, str]) -> Iterator[Check]:
    """Check the configured alert channels.

    Args:
        policy: The channels.
        env: The environment variables, which contain the secrets.
    """
    if policy.alerts.start == "off":
        yield Check("alerts", Status.PASS, "alerts are off (alerts.start)")
        return
    # Reported once, not for each address.
    mail_fault = _mail_server_fault(env)
    if mail_fault:
        yield Check("alerts:mail-server", Status.FAIL, mail_fault)
    channels = Channels(policy.alerts, env)
    try:
        tried = {
            name: _fault(channels, name)
            for name in channels.configured
            if not (mail_fault and _is_mail(policy, name))
        }
    finally:
        channels.close()
    for name, fault in tried.items():
        if fault:
            yield Check(f"alerts:{name}", Status.FAIL, fault)
    good = [name for name, fault in tried.items() if not fault]
    if good:
        yield Check("alerts", Status.PASS, f"{', '.join(good)}; send a test with: mita-otel test")
    elif not tried and not mail_fault:
        message = (
            f"no alert channel is configured, so alerts are not delivered; set {variables.SLACK_FINANCE_WEBHOOK} or another "
            "variable that mita-otel alerts validate lists"
        )
        yield Check("alerts", Status.WARN, message)


def _fault(channels: Channels, name: str) -> str:
    try:
        channels.notifier(name)
    except ConfigurationError as error:
        return str(error)
    return ""


def _mail_server_fault(env: Mapping[str, str]) -> str:
    url = env.get(variables.SMTP_URL, "").strip()
    try:
        if url:
            MailServer.from_url(url)
    except ConfigurationError as error:
        return str(error)
    return ""


def _is_mail(policy: Policy, name: str) -> bool:
    return policy.alerts.channels[name].kind == "email"
