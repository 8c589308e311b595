"""The channels of alerts: whether the address or key of each is one. Sends nothing; `mita-otel test` does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mita_otel import environment_variables as variables
from mita_otel.alerts.channels.mail import MailServer
from mita_otel.alerts.channels.registry import Channels
from mita_otel.errors import ConfigurationError
from mita_otel.policy import Policy
from mita_otel.sdk.health.check import Check, Status


def channel_checks(policy: Policy, env: Mapping[str, str]) -> Iterator[Check]:
    """Look whether the channels of alerts can be used, and every rule tells somebody.

    Args:
        policy: The channels.
        env: The environment variables, which hold the secrets.
    """
    if policy.alerts.start == "off":
        yield Check("alerts", Status.PASS, "nothing is watched (alerts.start)")
        return
    # Said once, not for each address.
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
        yield Check("alerts", Status.PASS, f"{', '.join(good)}; try them: mita-otel test")
    elif not tried and not mail_fault:
        said = (
            f"no channel has anywhere to go, nobody is told of anything: set {variables.SLACK_FINANCE_WEBHOOK} or another; "
            "mita-otel alerts validate names them all"
        )
        yield Check("alerts", Status.WARN, said)


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
