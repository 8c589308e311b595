"""Which of the ways in which Sentry keeps alerts a server has: it is asked."""

from __future__ import annotations

from dataclasses import dataclass

from mita_otel import environment_variables as variables
from mita_otel.policy.alerts import SentryAlertPolicy
from mita_otel.sentry.alert_rules.directory import Directory
from mita_otel.sentry.alert_rules.monitors import MonitorsAndAlerts
from mita_otel.sentry.alert_rules.old_rules import OldRules
from mita_otel.sentry.alert_rules.resources import Backend
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


def choose_backend(api: SentryApi, project: Project, policy: SentryAlertPolicy) -> Backend:
    """Return the back end that the server has: monitors and alerts, or the rules of before.

    Raises:
        SentryApiError: It has neither, or does not answer.
    """
    directory = Directory(api, policy)
    try:
        api.get(f"{api.org_path}/detectors/", {"project": project.id, "query": "type:error"})
    except SentryApiError as error:
        if error.status != 404:
            raise
        # The project is there, so it is the endpoint that is not: an older server.
        old = OldRules(api, directory, project.slug, project.id)
        api.get(old.issue_rules)
        return old
    return MonitorsAndAlerts(api, directory, project.slug, project.id)
