"""Creates releases in Sentry, with their commits and deploys.

Source: Sentry's published OpenAPI: `releases/`, `releases/{version}/`, `releases/{version}/deploys/`.
"""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from typing import Any, Final
from urllib.parse import quote

from mita_otel import environment_variables as variables
from mita_otel.errors import ConfigurationError
from mita_otel.redaction import Redactor
from mita_otel.sentry.api.client import SentryApi, SentryApiError
from mita_otel.sentry.releases.git_repository import Commit, GitRepository

_MAX_SEARCHED: Final = 100
"""Releases that are searched for the previous one."""
_MAX_NAME: Final = 64
_MAX_MESSAGE: Final = 4000
"""Characters of a commit's message; the subject comes first."""
_COMMIT_ID: Final = (40, 64)
"""Characters of a commit's id: SHA-1 and SHA-256."""


class ReleaseApi:
    """The releases of one or more projects.

    Args:
        api: Sentry's API.
        projects: Slugs of the projects.
        redactor: Redacts commit messages.
    """

    def __init__(self, api: SentryApi, projects: Sequence[str], redactor: Redactor) -> None:
        self._api = api
        self._projects = list(projects)
        self._redactor = redactor
        self._path = f"{api.org_path}/releases/"

    def create(self, version: str, *, ref: str | None = None, url: str | None = None) -> None:
        """Create the release. It is no error if the release exists."""
        body = {"version": version, "projects": self._projects, "ref": ref, "url": url}
        given = {name: value for name, value in body.items() if value is not None}
        self._api.post(self._path, given, idempotent=True)

    def previous_ref(self, version: str, repository: GitRepository) -> str | None:
        """Return the commit of the newest other release that is an ancestor of the current one. None: not found."""
        for release in islice(self._api.pages(self._path), _MAX_SEARCHED):
            if release.get("version") == version or not self._concerns(release):
                continue
            for commit in _commits_of(release):
                if repository.has_ancestor(commit):
                    return commit
        return None

    def set_commits(self, version: str, commits: Sequence[Commit], repository: str | None = None) -> None:
        """Set the commits of the release, in one request: each request replaces the commits of the one before.

        Args:
            version: The release.
            commits: The commits, newest first.
            repository: Name of the repository to show in Sentry.
        """
        listed = [self._commit(one, repository) for one in commits]
        body = {"commits": listed, **({"ref": commits[0].id} if commits else {})}
        with self._explain_404(version):
            self._api.put(self._one(version), body)

    def finalize(self, version: str, at: datetime | None = None) -> None:
        """Set the date of the release."""
        with self._explain_404(version):
            self._api.put(self._one(version), {"dateReleased": _iso(at or datetime.now(UTC))})

    def deploy(
        self,
        version: str,
        environment: str,
        *,
        started: datetime,
        finished: datetime,
        name: str | None = None,
        url: str | None = None,
    ) -> str:
        """Record a deploy of the release to an environment, and return its id."""
        body: dict[str, Any] = {
            "environment": environment[:_MAX_NAME],
            "dateStarted": _iso(started),
            "dateFinished": _iso(finished),
            "projects": self._projects,
        }
        if name:
            body["name"] = name[:_MAX_NAME]
        if url:
            body["url"] = url
        path = f"{self._one(version)}deploys/"
        with self._explain_404(version):
            try:
                created = self._api.post(path, body)
            except SentryApiError as error:
                if 0 < error.status < 500:
                    raise
                # The request may have succeeded: a second deploy would be wrong as well.
                created = self._find_deploy(path, environment, started) or self._api.post(path, body)
        return str(created.get("id", "")) if isinstance(created, dict) else ""

    def _find_deploy(self, path: str, environment: str, started: datetime) -> dict[str, Any] | None:
        for one in islice(self._api.pages(path), _MAX_SEARCHED):
            if one.get("environment") == environment[:_MAX_NAME] and _same(one.get("dateStarted"), started):
                return one
        return None

    def _commit(self, commit: Commit, repository: str | None) -> dict[str, str]:
        fields = {
            "id": commit.id[:64],
            "message": self._redactor.text(commit.message)[:_MAX_MESSAGE],
            "author_name": commit.author_name[:128],
            "author_email": commit.author_email[:200],
            "timestamp": commit.timestamp,
        }
        return {**fields, "repository": repository[:64]} if repository else fields

    def _concerns(self, release: dict[str, Any]) -> bool:
        projects = release.get("projects") or []
        slugs = {one.get("slug") if isinstance(one, dict) else one for one in projects}
        return not slugs or not slugs.isdisjoint(self._projects)

    @contextmanager
    def _explain_404(self, version: str) -> Iterator[None]:
        """Explain a 404."""
        try:
            yield
        except SentryApiError as error:
            if error.status != 404:
                raise
            raise SentryApiError(
                f"Sentry has no release {version} in the organization {self._api.address.org} at "
                f"{self._api.address.url}; create it with mita-otel release create, or check --org, --version and "
                f"{variables.SENTRY_URL}",
                404,
            ) from error

    def _one(self, version: str) -> str:
        return f"{self._path}{quote(version, safe='')}/"


def _commits_of(release: dict[str, Any]) -> Iterator[str]:
    last = release.get("lastCommit")
    for commit in (release.get("ref"), last.get("id") if isinstance(last, dict) else None):
        if isinstance(commit, str) and len(commit) in _COMMIT_ID:
            yield commit


def _same(time: object, at: datetime) -> bool:
    """Return whether a time in a response is the given one."""
    try:
        moment = datetime.fromisoformat(str(time))
    except ValueError:
        return False
    return moment.tzinfo is not None and abs((moment - at).total_seconds()) < 1


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


_FORBIDDEN: Final = re.compile(r"[\n\t\f\r/\\]|\A\.{1,2}\Z|\Alatest\Z|\A\s|\s\Z")
_MAX_LENGTH: Final = 200


def release_version(
    given: str | None, package: str | None, repository: GitRepository, env: Mapping[str, str]
) -> str:
    """Return the name of a release: the given one, `SENTRY_RELEASE`, the package's, or the id of the commit.

    Args:
        given: The name from the command line.
        package: An installed distribution; the release is named `name@version`.
        repository: The repository that the commit is taken from.
        env: The environment variables.

    Raises:
        ConfigurationError: No name is found, or Sentry does not accept it.
    """
    name = (given or ("" if package else env.get(variables.SENTRY_RELEASE, ""))).strip()
    if not name and package:
        try:
            name = f"{package}@{version(package)}"
        except PackageNotFoundError as error:
            raise ConfigurationError(f"the package {package} is not installed here") from error
    if not name:
        try:
            name = repository.head()
        except ConfigurationError as error:
            raise ConfigurationError(
                f"no release is given; use --version or set {variables.SENTRY_RELEASE} ({error})"
            ) from error
    if _FORBIDDEN.search(name) or len(name) > _MAX_LENGTH:
        raise ConfigurationError(
            f"{name[:60]!r} is not a valid release name; use at most {_MAX_LENGTH} characters without slashes and line "
            "breaks, like mita-finance@1.0.0"
        )
    return name


NOT_FOUND: Final = 127
NOT_EXECUTABLE: Final = 126
_BY_SIGNAL: Final = 128


class NotStartedError(Exception):
    """The command could not be started.

    Args:
        message: The command and the reason.
        status: The exit status that a shell returns in this case.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def run_command(command: Sequence[str]) -> int:
    """Run a command to its end, and return its exit status; 128 plus the signal's number if a signal ended it.

    SIGTERM to this process is forwarded to the command, so that its outcome is known and reported.

    Raises:
        NotStartedError: The command could not be started.
    """
    with _forwarded_signals() as forward_to:
        try:
            child = subprocess.Popen(command)  # noqa: S603 - the user's own command
        except OSError as error:
            status = NOT_EXECUTABLE if isinstance(error, PermissionError) else NOT_FOUND
            raise NotStartedError(f"{command[0]}: {error.strerror}", status) from error
        with child:
            forward_to(child)
            status = child.wait()
    return _BY_SIGNAL - status if status < 0 else status


@contextmanager
def _forwarded_signals() -> Iterator[Callable[[subprocess.Popen[bytes]], None]]:
    """Yield a function that takes the child to which SIGTERM is forwarded, earlier signals included.

    SIGINT is ignored: the terminal sends Ctrl-C to the child as well.
    """
    children: list[subprocess.Popen[bytes]] = []
    early: list[int] = []

    def forward(number: int, frame: Any) -> None:
        for child in children:
            child.send_signal(number)
        if not children:
            early.append(number)

    def forward_to(child: subprocess.Popen[bytes]) -> None:
        children.append(child)
        for number in early:
            child.send_signal(number)

    before = {
        signal.SIGTERM: signal.signal(signal.SIGTERM, forward),
        signal.SIGINT: signal.signal(signal.SIGINT, lambda number, frame: None),
    }
    try:
        yield forward_to
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
