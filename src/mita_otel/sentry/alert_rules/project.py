"""The policy's alert rules in one Sentry project: plan, apply, list, delete."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from mita_otel import environment_variables as variables
from mita_otel.policy import Policy
from mita_otel.sentry.alert_rules.desired_state import DesiredState, ProjectRole, desired_state
from mita_otel.sentry.alert_rules.plan import ExistingResource, Plan, make_plan
from mita_otel.sentry.alert_rules.recipients import RecipientDirectory
from mita_otel.sentry.alert_rules.resource_client import ResourceClient
from mita_otel.sentry.api.client import SentryApi, SentryApiError

SCOPE: Final = "alerts:write, org:read and project:read"
"""Scopes that a token needs, for messages."""


@dataclass(frozen=True, slots=True)
class SentryProject:
    """A project in Sentry."""

    slug: str
    id: str


class ProjectAlerts:
    """Alert rules of one project and environment.

    Args:
        api: Sentry's API.
        policy: The rules.
        project: Slug of the project.
        environment: Name of the environment.
        role: Which rules the project gets.

    Raises:
        SentryApiError: The project does not exist, or Sentry refuses.
    """

    def __init__(
        self,
        api: SentryApi,
        policy: Policy,
        project: str,
        environment: str,
        role: ProjectRole = "backend",
    ) -> None:
        self.project = find_project(api, project)
        directory = RecipientDirectory(api, policy.alerts.sentry)
        self._client = ResourceClient(api, directory, self.project.slug, self.project.id)
        self._policy = policy
        self._environment = environment
        self._role = role

    def plan(self) -> Plan:
        """Return the changes that bring Sentry to what the policy says. Changes nothing."""
        state = self._desired_state
        resources, missing = self._client.desired(state.alerts)
        return make_plan(resources, self.existing(), notes=state.notes, missing=missing)

    def plan_deletion(self) -> Plan:
        """Return the plan that deletes everything of ours."""
        return make_plan([], self.existing())

    def existing(self) -> list[ExistingResource]:
        """Return everything of ours in Sentry."""
        return self._client.existing(self._desired_state.prefix)

    def apply(self, plan: Plan, report: Callable[[str], None] = lambda line: None) -> None:
        """Carry a plan out. If a change fails, earlier changes stay, and the next plan has the rest.

        Another process may have applied the same rules at the same time. Its duplicates are deleted.

        Args:
            plan: The changes.
            report: Called with a line for each change that was made.
        """
        self._carry_out(plan, report)
        created = {(one.kind, one.name) for one in plan.creates}
        if created:
            again = self.plan()
            if any((one.kind, one.name) in created for one in again.deletes):
                self._carry_out(again, report)

    def _carry_out(self, plan: Plan, report: Callable[[str], None]) -> None:
        for resource in plan.creates:
            self._client.create(resource)
            report(f"+ {resource.kind} {resource.name}")
        for update in plan.updates:
            self._client.update(update.existing, update.resource)
            report(f"~ {update.resource.kind} {update.resource.name}")
        # Alerts before the monitors that they are connected to.
        for existing in reversed(plan.deletes):
            self._client.delete(existing)
            report(f"- {existing.kind} {existing.name}")

    @property
    def _desired_state(self) -> DesiredState:
        return desired_state(
            self._policy, environment=self._environment, project=self.project.slug, role=self._role
        )


def find_project(api: SentryApi, slug: str) -> SentryProject:
    """Return a project.

    Raises:
        SentryApiError: The project does not exist, or the token cannot read it.
    """
    try:
        found = api.get(f"projects/{api.address.org}/{slug}/")
    except SentryApiError as error:
        if error.status != 404:
            raise
        raise SentryApiError(
            f"Sentry has no project {slug} in the organization {api.address.org} at {api.address.url}; check --org and "
            f"--project ({variables.SENTRY_ORG}, {variables.SENTRY_PROJECT_BACKEND}), and {variables.SENTRY_URL} for "
            "another region",
            404,
        ) from error
    return SentryProject(str(found.get("slug", slug)), str(found["id"]))
