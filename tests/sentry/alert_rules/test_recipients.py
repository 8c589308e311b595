"""Recipients in Sentry: found by the policy's names, or reported with a fix."""

from __future__ import annotations

from sentry.alert_rules.operator import Operator
from sentry.api.fake import FakeSentry, Fault


def test_recipients_that_sentry_lacks_are_reported(operator: Operator) -> None:
    remarks = operator.remarks()
    assert "pci_violation: Sentry has no team compliance; create it under Settings, Teams" in remarks
    assert "has no service Compliance Critical (it has Finance Critical, Security Critical)" in remarks
    assert "Sentry has no escalation (critical_financial_errors, payment_processing_failures" in remarks
    assert "SECRETKEY" not in remarks


def test_an_alert_without_a_known_recipient_notifies_the_owners(
    sentry: FakeSentry, operator: Operator
) -> None:
    sentry.integrations = []
    sentry.teams = []
    remarks = operator.remarks()
    assert "Sentry has no Slack integration; install it under Settings, Integrations" in remarks
    assert "Sentry has no PagerDuty integration" in remarks
    operator.apply_all()
    assert operator.plan().changes == 0
    targets = {
        action["config"]["targetType"]
        for workflow in sentry.workflows.values()
        for group in workflow["actionFilters"]
        for action in group["actions"]
    }
    assert targets == {"issue_owners"}


def test_one_of_several_workspaces_has_to_be_chosen(sentry: FakeSentry, operator: Operator) -> None:
    sentry.integrations.append({**sentry.integrations[0], "id": "703", "name": "other"})
    assert (
        "Sentry has several Slack integrations (acme, other); choose one with alerts.sentry.slack_workspace"
        in operator.remarks()
    )
    alerts = operator.policy.alerts
    chosen = operator.policy.replace(
        alerts=alerts.replace(sentry=alerts.sentry.replace(slack_workspace="other"))
    )
    assert "several" not in Operator(operator.api, chosen).remarks()


def test_a_token_that_cannot_list_integrations_is_reported(sentry: FakeSentry, operator: Operator) -> None:
    sentry.faults = [Fault(403, path="integrations", times=99)]
    assert "the token cannot list integrations (slack); it needs org:read" in operator.remarks()
