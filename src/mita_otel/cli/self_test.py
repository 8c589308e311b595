"""`mita-otel test`: send a real test event to Sentry, Slack, PagerDuty, e-mail and others. Two scripts do the same."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from mita_otel.cli.application import BAD_POLICY, run_script
from mita_otel.cli.options import Environment
from mita_otel.cli.output import echo
from mita_otel.policy import environment_name, load_policy

if TYPE_CHECKING:
    from mita_otel.policy.channels import ChannelKind
    from mita_otel.sdk.health.check import Check

app = typer.Typer(add_completion=False, no_args_is_help=True)

Channels = Annotated[
    list[str] | None,
    typer.Option("--channel", "-c", help="Only this channel of the policy. Can be repeated."),
]


@app.command()
def sentry(environment: Environment = None) -> None:
    """Send a test error and its trace to Sentry, as the service would."""
    from mita_otel.doctor.self_test import try_sentry

    _show([try_sentry(load_policy(environment=environment), environment)])


@app.command()
def slack(channel: Channels = None, environment: Environment = None) -> None:
    """Send a test message to each configured Slack channel."""
    _try("slack", channel, environment)


@app.command()
def pagerduty(
    channel: Channels = None,
    environment: Environment = None,
    keep_open: Annotated[bool, typer.Option("--keep-open", help="Do not resolve the incident.")] = False,
) -> None:
    """Open a test incident in each configured PagerDuty service, and resolve it."""
    _try("pagerduty", channel, environment, keep_open=keep_open)


@app.command()
def email(channel: Channels = None, environment: Environment = None) -> None:
    """Send a test e-mail to the addresses of each channel."""
    _try("email", channel, environment)


@app.command()
def webhook(channel: Channels = None, environment: Environment = None) -> None:
    """Send a test message to each webhook."""
    _try("webhook", channel, environment)


@app.command(name="apprise")
def by_apprise(channel: Channels = None, environment: Environment = None) -> None:
    """Send a test message to each apprise channel."""
    _try("apprise", channel, environment)


def sentry_main() -> None:
    """Run `test_sentry_integration`."""
    run_script(sentry)


def pagerduty_main() -> None:
    """Run `test_pagerduty_integration`."""
    run_script(pagerduty)


def _try(
    kind: ChannelKind, channels: list[str] | None, environment: str | None, *, keep_open: bool = False
) -> None:
    from mita_otel.alerts.alert_setup import scope_of
    from mita_otel.doctor.self_test import try_channels
    from mita_otel.sdk.service import describe_service

    policy, name = load_policy(environment=environment), environment_name(environment)
    scope = scope_of(describe_service(name, None, os.environ), name)
    _show(try_channels(policy, scope, kind, os.environ, names=channels or (), keep_open=keep_open))


def _show(checks: Iterable[Check]) -> None:
    """Print each result. Exit status: 0 if an event arrived and no event failed, else 1."""
    statuses = []
    for check in checks:
        echo(f"{check.status.value}  {check.name}: {check.said}")
        statuses.append(check.status.value)
    if "pass" not in statuses or "fail" in statuses:
        if not statuses:
            echo("the policy has no channel of this kind; see: mita-otel policy show alerts.channels")
        raise typer.Exit(BAD_POLICY)
