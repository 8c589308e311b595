"""`mita-otel release`: releases and deploys in Sentry, from continuous integration."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mita_otel import environment_variables as variables
from mita_otel._plural import counted
from mita_otel.cli.frame import BAD_CONFIGURATION
from mita_otel.errors import ConfigurationError
from mita_otel.policy import environment_name, load_policy
from mita_otel.sentry.releases.deploy_command import NotStartedError, run_command
from mita_otel.sentry.releases.git_repository import GitRepository
from mita_otel.sentry.releases.version import release_version

if TYPE_CHECKING:
    from mita_otel.sentry.releases.release_api import ReleaseApi

app = typer.Typer(add_completion=False, no_args_is_help=True)

Version = Annotated[
    str | None,
    typer.Option("--version", help="The release. Not given: --package, SENTRY_RELEASE, else git's commit."),
]
Package = Annotated[
    str | None, typer.Option("--package", help="An installed package: the release is name@version.")
]
Org = Annotated[str | None, typer.Option("--org", help="The organization. Not given: SENTRY_ORG.")]
Project = Annotated[
    list[str] | None,
    typer.Option(
        "--project", help="A project's slug; more than once. Not given: SENTRY_PROJECT_BACKEND and _MOBILE."
    ),
]
_MOST = 1000
"""Commits that Sentry is told of in one request; another one would take their place."""
Url = Annotated[str | None, typer.Option("--url", help="A page about it.")]


@app.command()
def create(
    version: Version = None,
    package: Package = None,
    org: Org = None,
    project: Project = None,
    url: Url = None,
) -> None:
    """Make a release. One that is there already is no error."""
    repository = GitRepository(Path.cwd())
    name = release_version(version, package, repository, os.environ)
    try:
        ref = repository.head()
    except ConfigurationError:  # built outside of a repository
        ref = None
    with _releases(org, project) as releases:
        releases.create(name, ref=ref, url=url)
    typer.echo(f"{name}: made")


@app.command()
def commits(
    version: Version = None,
    package: Package = None,
    org: Org = None,
    project: Project = None,
    since: Annotated[
        str | None, typer.Option("--since", help="After this commit. Not given: the release before.")
    ] = None,
    repository: Annotated[
        str | None, typer.Option("--repository", help="Its name, as Sentry shall show it.")
    ] = None,
    most: Annotated[int, typer.Option("--most", min=1, max=_MOST, help="How many at most.")] = 200,
) -> None:
    """Say which commits are in a release: those since the release before."""
    git = GitRepository(Path.cwd())
    name = release_version(version, package, git, os.environ)
    lacking = git.unshallow_command()  # says at once if there is no repository
    first = git.find(since) if since else None
    with _releases(org, project) as releases:
        first = first or releases.previous_ref(name, git)
        found = git.commits(first, most + 1)
        told, more = found[:most], len(found) > most
        if told:
            releases.set_commits(name, told, repository)
    after = f" since {first[:12]}" if first else ""
    cut = f", the newest of more: say --most for up to {_MOST:,}" if more else ""
    typer.echo(f"{name}: {counted(len(told), 'commit')}{after}{cut}")
    if lacking and not first:
        typer.echo(
            f"this clone is shallow, and holds no commit of a release before: older commits are missing. Fetch them: {lacking}",
            err=True,
        )


@app.command()
def finalize(
    version: Version = None, package: Package = None, org: Org = None, project: Project = None
) -> None:
    """Say that a release is out."""
    name = release_version(version, package, GitRepository(Path.cwd()), os.environ)
    with _releases(org, project) as releases:
        releases.finalize(name)
    typer.echo(f"{name}: out")


@app.command()
def deploy(
    command: Annotated[
        list[str] | None, typer.Argument(help="What deploys it, behind --; its exit status is kept.")
    ] = None,
    version: Version = None,
    package: Package = None,
    org: Org = None,
    project: Project = None,
    environment: Annotated[
        str | None, typer.Option("--environment", "-e", help="Where to. Not given: the one that this is.")
    ] = None,
    failed: Annotated[bool, typer.Option("--failed", help="It failed: mark the deploy.")] = False,
    url: Url = None,
) -> None:
    """Say that a release was deployed, or deploy it: `mita-otel release deploy -e production -- ./deploy.sh`.

    Sentry knows no failed deploys: one that failed is marked by its name. Exit status: the command's own; 2 if it
    succeeded and Sentry could not be told.
    """
    name = release_version(version, package, GitRepository(Path.cwd()), os.environ)
    where = environment_name(environment)
    with _releases(org, project) as releases:
        started = datetime.now(UTC)
        status = _run(command) if command else 0
        mark = f"failed: exit status {status}" if status else "failed" if failed else None
        try:
            number = releases.deploy(
                name, where, started=started, finished=datetime.now(UTC), name=mark, url=url
            )
        except ConfigurationError as error:
            if not command:
                raise
            typer.echo(_untold(name, where, status, error), err=True)
            raise typer.Exit(status or BAD_CONFIGURATION) from error
    typer.echo(f"{name}: deploy {number} to {where}{f', {mark}' if mark else ''}")
    if status:
        raise typer.Exit(status)


def _run(command: list[str]) -> int:
    try:
        return run_command(command)
    except NotStartedError as error:
        typer.echo(str(error), err=True)
        return error.status


def _untold(name: str, where: str, status: int, error: ConfigurationError) -> str:
    """Return what to say where the command has run and Sentry was not told."""
    ended = f"failed with exit status {status}" if status else "succeeded"
    failed = " --failed" if status else ""
    return (
        f"the command {ended}, but Sentry was not told of the deploy: {error}. "
        f"Tell it with: mita-otel release deploy --version {shlex.quote(name)} -e {shlex.quote(where)}{failed}"
    )


@contextmanager
def _releases(org: str | None, projects: list[str] | None) -> Iterator[ReleaseApi]:
    """Open Sentry's API.

    Raises:
        ConfigurationError: It cannot be said which project is meant, or Sentry refuses.
    """
    from mita_otel.redaction import Redactor
    from mita_otel.sentry.api import open_sentry_api
    from mita_otel.sentry.api.address import check_slug

    known = (
        os.environ.get(one, "").strip()
        for one in (variables.SENTRY_PROJECT_BACKEND, variables.SENTRY_PROJECT_MOBILE)
    )
    slugs = projects or [one for one in known if one]
    if not slugs:
        raise ConfigurationError(f"which project? Give --project, or set {variables.SENTRY_PROJECT_BACKEND}")
    for slug in slugs:
        check_slug(slug, "a project")
    policy = load_policy()
    api = open_sentry_api(policy.alerts.sentry, os.environ, scope="project:releases", org=org)
    try:
        from mita_otel.sentry.releases.release_api import ReleaseApi

        yield ReleaseApi(api, slugs, Redactor(policy))
    finally:
        api.close()
