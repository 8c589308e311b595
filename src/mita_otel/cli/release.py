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
from mita_otel._text import counted
from mita_otel.cli.application import BAD_CONFIGURATION
from mita_otel.cli.options import Organization
from mita_otel.cli.output import echo
from mita_otel.errors import ConfigurationError
from mita_otel.policy import environment_name, load_policy
from mita_otel.sentry.releases.git_repository import GitRepository
from mita_otel.sentry.releases.release_api import NotStartedError, release_version, run_command

if TYPE_CHECKING:
    from mita_otel.sentry.releases.release_api import ReleaseApi

app = typer.Typer(add_completion=False, no_args_is_help=True)

Version = Annotated[
    str | None,
    typer.Option("--version", help="Release (default: --package, SENTRY_RELEASE, or the git commit)."),
]
Package = Annotated[
    str | None, typer.Option("--package", help="Installed package; the release is its name@version.")
]
Project = Annotated[
    list[str] | None,
    typer.Option(
        "--project", help="Slug of a project. Can be repeated (default: SENTRY_PROJECT_BACKEND and _MOBILE)."
    ),
]
_MOST = 1000
"""Maximum number of commits in one request. A second request would replace them."""
Url = Annotated[str | None, typer.Option("--url", help="URL of a page about it.")]


@app.command()
def create(
    version: Version = None,
    package: Package = None,
    org: Organization = None,
    project: Project = None,
    url: Url = None,
) -> None:
    """Create a release. An existing release is not an error."""
    repository = GitRepository(Path.cwd())
    name = release_version(version, package, repository, os.environ)
    try:
        ref = repository.head()
    except ConfigurationError:  # built outside of a repository
        ref = None
    with _releases(org, project) as releases:
        releases.create(name, ref=ref, url=url)
    echo(f"{name}: created")


@app.command()
def commits(
    version: Version = None,
    package: Package = None,
    org: Organization = None,
    project: Project = None,
    since: Annotated[
        str | None, typer.Option("--since", help="Start after this commit (default: the previous release).")
    ] = None,
    repository: Annotated[
        str | None, typer.Option("--repository", help="Name of the repository in Sentry.")
    ] = None,
    most: Annotated[int, typer.Option("--most", min=1, max=_MOST, help="Maximum number of commits.")] = 200,
) -> None:
    """Add commits to a release: those since the previous release."""
    git = GitRepository(Path.cwd())
    name = release_version(version, package, git, os.environ)
    lacking = git.unshallow_command()  # fails early if there is no repository
    first = git.find(since) if since else None
    with _releases(org, project) as releases:
        first = first or releases.previous_ref(name, git)
        found = git.commits(first, most + 1)
        included, more = found[:most], len(found) > most
        if included:
            releases.set_commits(name, included, repository)
    after = f" since {first[:12]}" if first else ""
    cut = f", only the newest: use --most for up to {_MOST:,}" if more else ""
    echo(f"{name}: {counted(len(included), 'commit')}{after}{cut}")
    if lacking and not first:
        echo(
            f"this clone is shallow and contains no commit of a previous release; fetch older commits with: {lacking}",
            err=True,
        )


@app.command()
def finalize(
    version: Version = None, package: Package = None, org: Organization = None, project: Project = None
) -> None:
    """Mark a release as finalized."""
    name = release_version(version, package, GitRepository(Path.cwd()), os.environ)
    with _releases(org, project) as releases:
        releases.finalize(name)
    echo(f"{name}: finalized")


@app.command()
def deploy(
    command: Annotated[
        list[str] | None, typer.Argument(help="Command that deploys, after --; its exit status is kept.")
    ] = None,
    version: Version = None,
    package: Package = None,
    org: Organization = None,
    project: Project = None,
    environment: Annotated[
        str | None, typer.Option("--environment", "-e", help="Target environment (default: the current one).")
    ] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Mark the deploy as failed.")] = False,
    url: Url = None,
) -> None:
    """Record a deploy, or run the command that deploys: `mita-otel release deploy -e production -- ./deploy.sh`.

    Sentry has no failed deploys, so the name of the deploy says that it failed. Exit status: the command's; 2 if the
    command succeeded but the deploy could not be recorded.
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
            echo(_unrecorded(name, where, status, error), err=True)
            raise typer.Exit(status or BAD_CONFIGURATION) from error
    echo(f"{name}: deploy {number} to {where}{f', {mark}' if mark else ''}")
    if status:
        raise typer.Exit(status)


def _run(command: list[str]) -> int:
    try:
        return run_command(command)
    except NotStartedError as error:
        echo(str(error), err=True)
        return error.status


def _unrecorded(name: str, where: str, status: int, error: ConfigurationError) -> str:
    """Return the message for a command that ran while the deploy could not be recorded."""
    ended = f"failed with exit status {status}" if status else "succeeded"
    failed = " --failed" if status else ""
    return (
        f"the command {ended}, but the deploy was not recorded in Sentry: {error}. "
        f"Record it with: mita-otel release deploy --version {shlex.quote(name)} -e {shlex.quote(where)}{failed}"
    )


@contextmanager
def _releases(org: str | None, projects: list[str] | None) -> Iterator[ReleaseApi]:
    """Open Sentry's API.

    Raises:
        ConfigurationError: No project is named, or Sentry refuses access.
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
        raise ConfigurationError(f"no project: use --project, or set {variables.SENTRY_PROJECT_BACKEND}")
    for slug in slugs:
        check_slug(slug, "a project")
    policy = load_policy()
    api = open_sentry_api(policy.alerts.sentry, os.environ, scope="project:releases", org=org)
    try:
        from mita_otel.sentry.releases.release_api import ReleaseApi

        yield ReleaseApi(api, slugs, Redactor(policy))
    finally:
        api.close()
