"""Releases through Sentry's API.

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
from mita_otel.sentry.releases.repository import Commit, Repository

_LOOKED_AT: Final = 100
"""Releases that are looked through for the one before."""
_MAX_NAME: Final = 64
_MAX_MESSAGE: Final = 4000
"""Characters of a commit's message: what it is about stands in front."""
_COMMIT_ID: Final = (40, 64)
"""Characters of a commit's id, of SHA-1 and of SHA-256."""


class Releases:
    """The releases of some projects.

    Args:
        api: Sentry.
        projects: Their slugs.
        redactor: What messages of commits pass.
    """

    def __init__(self, api: SentryApi, projects: Sequence[str], redactor: Redactor) -> None:
        self._api = api
        self._projects = list(projects)
        self._redactor = redactor
        self._path = f"{api.org_path}/releases/"

    def create(self, version: str, *, ref: str | None = None, url: str | None = None) -> None:
        """Make the release. One that is there already is no error."""
        body = {"version": version, "projects": self._projects, "ref": ref, "url": url}
        told = {name: value for name, value in body.items() if value is not None}
        self._api.post(self._path, told, again=True)

    def previous_ref(self, version: str, repository: Repository) -> str | None:
        """Return the commit of the newest other release that led to the current one; None: there is none."""
        for release in islice(self._api.pages(self._path), _LOOKED_AT):
            if release.get("version") == version or not self._concerns(release):
                continue
            for commit in _commits_of(release):
                if repository.knows(commit):
                    return commit
        return None

    def set_commits(self, version: str, commits: Sequence[Commit], repository: str | None = None) -> None:
        """Say what is in the release, in one request: Sentry forgets what it was told before.

        Args:
            version: The release.
            commits: The newest first.
            repository: Its name, as Sentry shall show it.
        """
        told = [self._commit(one, repository) for one in commits]
        body = {"commits": told, **({"ref": commits[0].id} if commits else {})}
        with self._known(version):
            self._api.put(self._one(version), body)

    def finalize(self, version: str, at: datetime | None = None) -> None:
        """Say that the release is out."""
        with self._known(version):
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
        """Say that the release runs in an environment, and return the deploy's id."""
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
        with self._known(version):
            try:
                made = self._api.post(path, body)
            except SentryApiError as error:
                if 0 < error.status < 500:
                    raise
                # It may have come to something all the same: two deploys of one would be wrong as well.
                made = self._made(path, environment, started) or self._api.post(path, body)
        return str(made.get("id", "")) if isinstance(made, dict) else ""

    def _made(self, path: str, environment: str, started: datetime) -> dict[str, Any] | None:
        for one in islice(self._api.pages(path), _LOOKED_AT):
            if one.get("environment") == environment[:_MAX_NAME] and _same(one.get("dateStarted"), started):
                return one
        return None

    def _commit(self, commit: Commit, repository: str | None) -> dict[str, str]:
        told = {
            "id": commit.id[:64],
            "message": self._redactor.text(commit.message)[:_MAX_MESSAGE],
            "author_name": commit.author_name[:128],
            "author_email": commit.author_email[:200],
            "timestamp": commit.timestamp,
        }
        return {**told, "repository": repository[:64]} if repository else told

    def _concerns(self, release: dict[str, Any]) -> bool:
        projects = release.get("projects") or []
        slugs = {one.get("slug") if isinstance(one, dict) else one for one in projects}
        return not slugs or not slugs.isdisjoint(self._projects)

    @contextmanager
    def _known(self, version: str) -> Iterator[None]:
        """Say what a 404 means here."""
        try:
            yield
        except SentryApiError as error:
            if error.status != 404:
                raise
            raise SentryApiError(
                f"Sentry knows no release {version} in the organization {self._api.address.org} at "
                f"{self._api.address.url}: make it first with mita-otel release create, or check --org, --version and "
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


def _same(told: object, at: datetime) -> bool:
    """Return whether Sentry tells of the same moment."""
    try:
        moment = datetime.fromisoformat(str(told))
    except ValueError:
        return False
    return moment.tzinfo is not None and abs((moment - at).total_seconds()) < 1


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
