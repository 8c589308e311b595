"""The policy's alert rules in Sentry: plan, apply, validate, list, delete; and the script `setup_sentry_alerts`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from mita_otel import environment_variables as variables
from mita_otel._text import counted
from mita_otel.cli.application import BAD_POLICY
from mita_otel.cli.options import Environment, Organization, Yes
from mita_otel.cli.output import echo
from mita_otel.errors import ConfigurationError
from mita_otel.policy import Policy, environment_name, load_policy

if TYPE_CHECKING:
    from mita_otel.sentry.alert_rules.desired_state import ProjectRole
    from mita_otel.sentry.alert_rules.plan import Plan
    from mita_otel.sentry.alert_rules.project import ProjectAlerts
    from mita_otel.sentry.api.client import SentryApi

Project = Annotated[
    str | None, typer.Option("--project", help="Project of the service (default: SENTRY_PROJECT_BACKEND).")
]
Mobile = Annotated[
    str | None,
    typer.Option("--mobile-project", help="Project of the app (default: SENTRY_PROJECT_MOBILE, if set)."),
]

setup = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
"""The script `setup_sentry_alerts`."""


def plan(
    org: Organization = None,
    project: Project = None,
    mobile_project: Mobile = None,
    environment: Environment = None,
    check: Annotated[bool, typer.Option("--check", help="Exit status 1 if there are changes.")] = False,
) -> None:
    """Show the changes that `apply` would make in Sentry, without making them."""
    changes = 0
    for alerts in _projects(org, project, mobile_project, environment):
        made = alerts.plan()
        _show(alerts, made)
        changes += made.changes
    if check and changes:
        raise typer.Exit(BAD_POLICY)


def apply(
    org: Organization = None,
    project: Project = None,
    mobile_project: Mobile = None,
    environment: Environment = None,
) -> None:
    """Create, change and delete alerts in Sentry to match the policy. A second run changes nothing."""
    for alerts in _projects(org, project, mobile_project, environment):
        made = alerts.plan()
        _show(alerts, made)
        if made.changes:
            alerts.apply(made, lambda line: echo(f"done: {line}"))


def validate(
    org: Organization = None,
    project: Project = None,
    mobile_project: Mobile = None,
    environment: Environment = None,
) -> None:
    """Check rules, channels and Sentry's alerts, without changes. Exit status 1 if anything is missing."""
    problems = _check_channels(load_policy(environment=environment))
    if os.environ.get(variables.SENTRY_AUTH_TOKEN, "").strip():
        for alerts in _projects(org, project, mobile_project, environment):
            made = alerts.plan()
            _show(alerts, made)
            problems += len(made.missing)
    else:
        echo(f"{variables.SENTRY_AUTH_TOKEN} is not set: Sentry is not checked")
    if problems:
        echo(counted(problems, "problem"), err=True)
        raise typer.Exit(BAD_POLICY)


def list_rules(
    org: Organization = None,
    project: Project = None,
    mobile_project: Mobile = None,
    environment: Environment = None,
) -> None:
    """List the alerts in Sentry that mita-otel manages."""
    for alerts in _projects(org, project, mobile_project, environment):
        found = alerts.existing()
        for one in found:
            off = "" if one.response.get("enabled", True) else " (disabled)"
            echo(f"{one.kind} {one.id}: {one.name}{off}")
        echo(f"{counted(len(found), 'alert')} managed by mita-otel in {alerts.project.slug}")


def delete(
    org: Organization = None,
    project: Project = None,
    mobile_project: Mobile = None,
    environment: Environment = None,
    yes: Yes = False,
) -> None:
    """Delete the managed alerts of this project and environment from Sentry. Other alerts are kept."""
    for alerts in _projects(org, project, mobile_project, environment):
        made = alerts.plan_deletion()
        _show(alerts, made)
        if made.changes and (yes or _confirmed(f"Delete these {counted(made.changes, 'alert')}?")):
            alerts.apply(made, lambda line: echo(f"done: {line}"))


def add_to(app: typer.Typer) -> None:
    """Add the commands to `mita-otel alerts`."""
    for name, command in (
        ("plan", plan), ("apply", apply), ("validate", validate), ("list", list_rules), ("delete", delete),
    ):  # fmt: skip
        app.command(name)(command)


@setup.command()
def setup_sentry_alerts(
    org: Organization = None,
    project: Project = None,
    environment: Environment = None,
    validate_only: Annotated[bool, typer.Option("--validate-only", help="Validate without changes.")] = False,
    list_only: Annotated[
        bool, typer.Option("--list-rules", help="List the alerts in Sentry that mita-otel manages.")
    ] = False,
) -> None:
    """Create, change and delete alerts in Sentry to match the policy, like `mita-otel alerts apply`."""
    if validate_only and list_only:
        raise typer.BadParameter("use either --validate-only or --list-rules")
    command = validate if validate_only else list_rules if list_only else apply
    command(org, project, None, environment)


def setup_main() -> None:
    """Run `setup_sentry_alerts`."""
    from mita_otel.cli.application import run_app

    run_app(setup)


def _confirmed(question: str) -> bool:
    if not sys.stdin.isatty():
        raise ConfigurationError("nothing was deleted: confirm with --yes")
    return typer.confirm(question)


def _show(alerts: ProjectAlerts, made: Plan) -> None:
    echo(f"{alerts.project.slug}:")
    for line in made.lines():
        echo(f"  {line}")


def _projects(
    org: str | None, project: str | None, mobile_project: str | None, environment: str | None
) -> Iterator[ProjectAlerts]:
    """Yield the projects to work on.

    Raises:
        ConfigurationError: No project is named, or Sentry refuses access.
    """
    policy = load_policy(environment=environment)
    name = environment_name(environment)
    with _api(policy, org) as api:
        from mita_otel.sentry.alert_rules.project import ProjectAlerts
        from mita_otel.sentry.api.address import check_slug

        for role, slug in _slugs(project, mobile_project):
            yield ProjectAlerts(api, policy, check_slug(slug, "a project"), name, role)


@contextmanager
def _api(policy: Policy, org: str | None) -> Iterator[SentryApi]:
    from mita_otel.sentry.alert_rules.project import SCOPE
    from mita_otel.sentry.api import open_sentry_api

    api = open_sentry_api(policy.alerts.sentry, os.environ, scope=SCOPE, org=org)
    try:
        yield api
    finally:
        api.close()


def _slugs(project: str | None, mobile_project: str | None) -> list[tuple[ProjectRole, str]]:
    known = os.environ.get(variables.SENTRY_PROJECT_BACKEND, "").strip()
    backend = (project or known).strip()
    mobile = (mobile_project or os.environ.get(variables.SENTRY_PROJECT_MOBILE, "")).strip()
    if not backend and not mobile:
        raise ConfigurationError(f"no project: use --project, or set {variables.SENTRY_PROJECT_BACKEND}")
    if backend == mobile:
        # One project is named. It is the app's, unless it is also the service's.
        return [("both" if mobile_project or known in ("", mobile) else "mobile", mobile)]
    found: list[tuple[ProjectRole, str]] = [("backend", backend), ("mobile", mobile)]
    return [(role, slug) for role, slug in found if slug]


def _check_channels(policy: Policy) -> int:
    """Print the channels of each rule, and return the number of rules without a usable channel."""
    from mita_otel.alerts.channels.registry import Channels

    channels = Channels(policy.alerts, os.environ)
    problems = 0
    lacking: dict[str, str] = {}
    for name, rule in policy.alerts.rules.items():
        if not rule.is_local:
            continue
        ready = channels.resolve(rule.channels)
        lacking |= {one: channels.missing(one) for one in rule.channels if channels.missing(one)}
        names = ", ".join(ready) or ("no channel; Sentry may notify" if rule.is_sentrys else "no channel")
        echo(f"{name}: {names}")
        problems += not ready and not rule.is_sentrys
    for name, what in lacking.items():
        echo(f"  {name}: {what}")
    for name in channels.configured:
        try:
            channels.notifier(name)
        except ConfigurationError as error:
            echo(f"  {name}: {error}")
            problems += 1
    channels.close()
    return problems
