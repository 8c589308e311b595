"""Finds a project in Sentry."""

from __future__ import annotations

from dataclasses import dataclass

from mita_otel import environment_variables as variables
from mita_otel.sentry.api.client import SentryApi
from mita_otel.sentry.api.errors import SentryApiError


@dataclass(frozen=True, slots=True)
class Project:
    """A project in Sentry."""

    slug: str
    id: str


def find_project(api: SentryApi, slug: str) -> Project:
    """Return the project.

    Raises:
        SentryApiError: There is none, or the token may not see it.
    """
    try:
        found = api.get(f"projects/{api.address.org}/{slug}/")
    except SentryApiError as error:
        if error.status != 404:
            raise
        raise SentryApiError(
            f"Sentry knows no project {slug} in the organization {api.address.org} at {api.address.url}; check --org and "
            f"--project ({variables.SENTRY_ORG}, {variables.SENTRY_PROJECT_BACKEND}), and {variables.SENTRY_URL} if you "
            "are in another region",
            404,
        ) from error
    return Project(str(found.get("slug", slug)), str(found["id"]))
