"""Releases through Sentry's API.

Source: Sentry's published OpenAPI: `releases/`, `releases/{version}/`, `releases/{version}/deploys/`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final
from urllib.parse import quote

from mita_otel.redaction import Redactor
from mita_otel.releases.repository import Commit, Repository
from mita_otel.sentry_api.client import SentryApi

_LOOKED_AT: Final = 100
"""Releases that are looked through for the one before."""
_MAX_NAME: Final = 64


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
        self._api.post(self._path, {name: value for name, value in body.items() if value is not None})

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
        """Say what is in the release.

        Args:
            version: The release.
            commits: The newest first.
            repository: Its name, as Sentry shall show it.
        """
        told = [self._commit(one, repository) for one in commits]
        body = {"commits": told, **({"ref": commits[0].id} if commits else {})}
        self._api.put(self._one(version), body)

    def finalize(self, version: str, at: datetime | None = None) -> None:
        """Say that the release is out."""
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
        made = self._api.post(f"{self._one(version)}deploys/", body)
        return str(made.get("id", "")) if isinstance(made, dict) else ""

    def _commit(self, commit: Commit, repository: str | None) -> dict[str, str]:
        told = {
            "id": commit.id[:64],
            "message": self._redactor.text(commit.message),
            "author_name": commit.author_name[:128],
            "author_email": commit.author_email[:200],
            "timestamp": commit.timestamp,
        }
        return {**told, "repository": repository[:64]} if repository else told

    def _concerns(self, release: dict[str, Any]) -> bool:
        projects = release.get("projects") or []
        slugs = {one.get("slug") if isinstance(one, dict) else one for one in projects}
        return not slugs or not slugs.isdisjoint(self._projects)

    def _one(self, version: str) -> str:
        return f"{self._path}{quote(version, safe='')}/"


def _commits_of(release: dict[str, Any]) -> Iterator[str]:
    last = release.get("lastCommit")
    for commit in (release.get("ref"), last.get("id") if isinstance(last, dict) else None):
        if isinstance(commit, str) and len(commit) == 40:
            yield commit


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
