"""The policy's rules in Sentry: plan, apply, validate, list, delete; also `setup_sentry_alerts`, as the guide calls it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from mita_otel import environment_variables as variables
from mita_otel._plural import counted
from mita_otel.cli.frame import BAD_POLICY
from mita_otel.errors import ConfigurationError
from mita_otel.policy import Policy, environment_name, load_policy

if TYPE_CHECKING:
    from mita_otel.sentry.alert_rules.desired_state import ProjectRole
    from mita_otel.sentry.alert_rules.plan import Plan
    from mita_otel.sentry.alert_rules.project import ProjectAlerts
    from mita_otel.sentry.api.client import SentryApi

Org = Annotated[str | None, typer.Option("--org", help="The organization. Not given: SENTRY_ORG.")]
Project = Annotated[
    str | None, typer.Option("--project", help="The service's project. Not given: SENTRY_PROJECT_BACKEND.")
]
Mobile = Annotated[
    str | None,
    typer.Option("--mobile-project", help="The app's project. Not given: SENTRY_PROJECT_MOBILE, if set."),
]
Environment = Annotated[
    str | None, typer.Option("--environment", "-e", help="Of this environment, not of the one that this is.")
]

setup = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
"""The guide's script."""


def plan(
    org: Org = None,
    project: Project = None,
    mobile_project: Mobile = None,
    environment: Environment = None,
    check: Annotated[
        bool, typer.Option("--check", help="Exit status 1 if there is something to do.")
    ] = False,
) -> None:
    """Show what `apply` would change in Sentry; changes nothing."""
    changes = 0
    for alerts in _projects(org, project, mobile_project, environment):
        made = alerts.plan()
        _show(alerts, made)
        changes += made.changes
    if check and changes:
        raise typer.Exit(BAD_POLICY)


def apply(
    org: Org = None,
    project: Project = None,
    mobile_project: Mobile = None,
    environment: Environment = None,
) -> None:
    """Make Sentry's alerts what the policy says. A second time, nothing is left to do."""
    for alerts in _projects(org, project, mobile_project, environment):
        made = alerts.plan()
        _show(alerts, made)
        if made.changes:
            alerts.apply(made, lambda line: typer.echo(f"done: {line}"))


def validate(
    org: Org = None,
    project: Project = None,
    mobile_project: Mobile = None,
    environment: Environment = None,
) -> None:
    """Check the rules, whom they tell, and what Sentry lacks; changes nothing. Exit status 1 if something is missing."""
    problems = _check_channels(load_policy(environment=environment))
    if os.environ.get(variables.SENTRY_AUTH_TOKEN, "").strip():
        for alerts in _projects(org, project, mobile_project, environment):
            made = alerts.plan()
            _show(alerts, made)
            problems += len(made.missing)
    else:
        typer.echo(f"{variables.SENTRY_AUTH_TOKEN} is not set: Sentry was not asked")
    if problems:
        typer.echo(counted(problems, "problem"), err=True)
        raise typer.Exit(BAD_POLICY)


def list_rules(
    org: Org = None,
    project: Project = None,
    mobile_project: Mobile = None,
    environment: Environment = None,
) -> None:
    """List what of ours is in Sentry."""
    for alerts in _projects(org, project, mobile_project, environment):
        found = alerts.existing()
        for one in found:
            off = "" if one.response.get("enabled", True) else " (switched off)"
            typer.echo(f"{one.kind} {one.id}: {one.name}{off}")
        typer.echo(f"{len(found)} of ours in {alerts.project.slug}")


def delete(
    org: Org = None,
    project: Project = None,
    mobile_project: Mobile = None,
    environment: Environment = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete everything of ours from Sentry, of this project and environment; nothing else."""
    for alerts in _projects(org, project, mobile_project, environment):
        made = alerts.plan_deletion()
        _show(alerts, made)
        if made.changes and (yes or _confirmed(f"Delete these {made.changes}?")):
            alerts.apply(made, lambda line: typer.echo(f"done: {line}"))


def add_to(app: typer.Typer) -> None:
    """Add the commands to those of `mita-otel alerts`."""
    for name, command in (
        ("plan", plan), ("apply", apply), ("validate", validate), ("list", list_rules), ("delete", delete),
    ):  # fmt: skip
        app.command(name)(command)


@setup.command()
def setup_sentry_alerts(
    org: Org = None,
    project: Project = None,
    environment: Environment = None,
    validate_only: Annotated[
        bool, typer.Option("--validate-only", help="Check, and change nothing.")
    ] = False,
    list_only: Annotated[bool, typer.Option("--list-rules", help="List what of ours is in Sentry.")] = False,
) -> None:
    """Make Sentry's alerts what the policy says: the guide's script, `mita-otel alerts apply`."""
    if validate_only and list_only:
        raise typer.BadParameter("choose one of --validate-only and --list-rules")
    command = validate if validate_only else list_rules if list_only else apply
    command(org, project, None, environment)


def setup_main() -> None:
    """Run the guide's script."""
    from mita_otel.cli.frame import run_app

    run_app(setup)


def _confirmed(question: str) -> bool:
    if not sys.stdin.isatty():
        raise ConfigurationError("nothing was deleted: say --yes if you mean it")
    return typer.confirm(question)


def _show(alerts: ProjectAlerts, made: Plan) -> None:
    typer.echo(f"{alerts.project.slug}:")
    for line in made.lines():
        typer.echo(f"  {line}")


def _projects(
    org: str | None, project: str | None, mobile_project: str | None, environment: str | None
) -> Iterator[ProjectAlerts]:
    """Yield the projects that are meant.

    Raises:
        ConfigurationError: It cannot be said which, or Sentry refuses.
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
        raise ConfigurationError(f"which project? Give --project, or set {variables.SENTRY_PROJECT_BACKEND}")
    if backend == mobile:
        # Named as the project, the app's is meant; unless it is the service's as well.
        return [("both" if mobile_project or known in ("", mobile) else "mobile", mobile)]
    found: list[tuple[ProjectRole, str]] = [("backend", backend), ("mobile", mobile)]
    return [(role, slug) for role, slug in found if slug]


def _check_channels(policy: Policy) -> int:
    """Say whom this library tells of each rule, and return how many rules nobody is told of."""
    from mita_otel.alerts.channels.registry import Channels

    channels = Channels(policy.alerts, os.environ)
    problems = 0
    lacking: dict[str, str] = {}
    for name, rule in policy.alerts.rules.items():
        if not rule.is_local:
            continue
        ready = channels.resolve(rule.channels)
        lacking |= {one: channels.missing(one) for one in rule.channels if channels.missing(one)}
        told = ", ".join(ready) if ready else "nobody, unless Sentry does" if rule.is_sentrys else "nobody"
        typer.echo(f"{name}: tells {told}")
        problems += not ready and not rule.is_sentrys
    for name, what in lacking.items():
        typer.echo(f"  {name}: {what}")
    for name in channels.configured:
        try:
            channels.notifier(name)
        except ConfigurationError as error:
            typer.echo(f"  {name}: {error}")
            problems += 1
    channels.close()
    return problems
