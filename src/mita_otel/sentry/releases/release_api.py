"""Creates releases in Sentry, with their commits and deploys.

Source: Sentry's published OpenAPI: `releases/`, `releases/{version}/`, `releases/{version}/deploys/`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final
from urllib.parse import quote

from mita_otel import environment_variables as variables
from mita_otel.redaction import Redactor
from mita_otel.sentry.api.client import SentryApi
from mita_otel.sentry.api.errors import SentryApiError
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
