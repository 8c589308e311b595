"""The policy's alerts in one project of Sentry: planned, made, listed, deleted."""

from __future__ import annotations

from collections.abc import Callable

from mita_otel.policy import Policy
from mita_otel.sentry.alert_rules.choosing import find_project
from mita_otel.sentry.alert_rules.directory import Directory
from mita_otel.sentry.alert_rules.monitors import MonitorsAndAlerts
from mita_otel.sentry.alert_rules.plan import Plan, carry_out, make_plan
from mita_otel.sentry.alert_rules.resources import Existing
from mita_otel.sentry.alert_rules.wanted import Wanted, Whose, wanted_of
from mita_otel.sentry.api.client import SentryApi

Say = Callable[[str], None]


class ProjectAlerts:
    """Alerts of one project and environment.

    Args:
        api: Sentry.
        policy: The rules.
        project: The project's slug.
        environment: The environment's name.
        which: Whose rules.

    Raises:
        SentryApiError: There is no such project, or Sentry refuses.
    """

    def __init__(
        self,
        api: SentryApi,
        policy: Policy,
        project: str,
        environment: str,
        which: Whose = "backend",
    ) -> None:
        self.project = find_project(api, project)
        directory = Directory(api, policy.alerts.sentry)
        self.backend = MonitorsAndAlerts(api, directory, self.project.slug, self.project.id)
        self._policy = policy
        self._environment = environment
        self._which = which

    @property
    def wanted(self) -> Wanted:
        """What the policy wants."""
        return wanted_of(
            self._policy, environment=self._environment, project=self.project.slug, which=self._which
        )

    def plan(self) -> Plan:
        """Compare what is wanted with what is there; changes nothing."""
        wanted = self.wanted
        resources, missing = self.backend.wanted(wanted.alerts)
        return make_plan(resources, self.existing(), notes=wanted.notes, missing=missing)

    def apply(self, plan: Plan, say: Say = lambda line: None) -> None:
        """Do what a plan says."""
        carry_out(self.backend, plan, say)

    def existing(self) -> list[Existing]:
        """Return everything of ours that is there."""
        return self.backend.existing(self.wanted.prefix)

    def plan_deletion(self) -> Plan:
        """Return the plan that leaves nothing of ours."""
        return make_plan([], self.existing())
