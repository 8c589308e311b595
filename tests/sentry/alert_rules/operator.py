"""Plans and applies a policy to a Sentry project."""

from __future__ import annotations

from typing import Any

from mita_otel.policy import Policy, default_policy
from mita_otel.sentry.alert_rules.plan import Plan
from mita_otel.sentry.alert_rules.project import ProjectAlerts
from mita_otel.sentry.api.client import SentryApi

GUIDE = (
    "critical_financial_errors",
    "payment_processing_failures",
    "authentication_security_events",
    "high_error_rate",
)
"""The rules of the MITA monitoring guide."""


class Operator(ProjectAlerts):
    """Plans and applies the rules of one policy."""

    def __init__(
        self, api: SentryApi, policy: Policy, project: str = "mita-backend", environment: str = "production"
    ) -> None:
        super().__init__(api, policy, project, environment, "mobile" if "mobile" in project else "backend")
        self.api = api
        self.policy = policy

    def apply_all(self) -> Plan:
        plan = self.plan()
        self.apply(plan)
        return plan

    def remarks(self) -> str:
        """Notes of the plan, and what is missing in Sentry."""
        plan = self.plan()
        return "\n".join([*plan.notes, *plan.missing])


def all_rules() -> dict[str, dict[str, Any]]:
    """Every rule of the defaults, without changes."""
    return {name: {} for name in default_policy().alerts.rules}


def custom_rule(**changes: Any) -> dict[str, Any]:
    """A rule on every error, changed by these."""
    known: dict[str, Any] = {"title": "Custom", "on": ("errors",), "count": 1, "window_s": 60}
    return {**known, "urgency": "error", "channels": ("finance_slack",), **changes}
