"""The policy's rules in a Sentry project: apply, list, apply again, update, delete."""

from __future__ import annotations

import pytest

from alerts.kit import policy_with
from mita_otel.errors import ConfigurationError
from mita_otel.policy import default_policy
from mita_otel.sentry.alert_rules.project import find_project
from mita_otel.sentry.api.client import SentryApiError
from sentry.alert_rules.operator import GUIDE, Operator, all_rules
from sentry.api import specification
from sentry.api.conftest import MakeApi
from sentry.api.fake import FakeSentry, Fault


@pytest.mark.skipif(not specification.OPENAPI, reason=specification.WHY_NOT)
def test_sentrys_specification_has_the_endpoints_that_are_used() -> None:
    published = specification.published()
    assert published is not None
    for method, path in (
        ("GET", "detectors/"),
        ("PUT", "workflows/1/"),
        ("POST", "projects/p/detectors/"),
        ("GET", "teams/"),
    ):
        assert published.operation(method, f"/api/0/organizations/acme/{path}"), path


def test_a_second_apply_changes_nothing(sentry: FakeSentry, operator: Operator) -> None:
    first = operator.apply_all()
    assert first.creates and not first.updates and not first.deletes
    titles = {one.name.partition(": ")[2] for one in operator.existing()}
    assert {default_policy().alerts.rules[name].title for name in GUIDE} <= titles
    requests = len(sentry.changes)
    second = operator.apply_all()
    assert second.changes == 0, list(second.lines())
    assert len(second.unchanged) == len(first.creates)
    assert len(sentry.changes) == requests


def test_a_changed_threshold_is_planned_and_applied_as_one_update(operator: Operator) -> None:
    operator.apply_all()
    policy = policy_with({**all_rules(), "payment_processing_failures": {"count": 5}})
    changed = Operator(operator.api, policy)
    plan = changed.plan()
    assert not plan.creates and not plan.deletes
    shown = [line for line in plan.lines() if line.startswith(("~", "    "))]
    assert shown[0] == "~ monitor mita-otel mita-backend/production: Payment processing failures"
    assert len([line for line in shown if line.startswith("~")]) == 1
    assert {line.rpartition(": ")[2] for line in shown[1:]} == {"2 -> 4"}
    changed.apply_all()
    assert changed.plan().changes == 0


def test_a_changed_recipient_is_planned_as_an_update(operator: Operator) -> None:
    operator.apply_all()
    rules = {**all_rules(), "payment_processing_failures": {"channels": ("finance_slack",)}}
    plan = Operator(operator.api, policy_with(rules)).plan()
    assert [update.resource.name.partition(": ")[2] for update in plan.updates] == [
        "Payment processing failures"
    ]
    assert any("finance-alerts" in str(one) for one in plan.updates[0].differences)


def test_a_manual_change_in_sentry_is_reverted(sentry: FakeSentry, operator: Operator) -> None:
    operator.apply_all()
    workflow = next(one for one in sentry.workflows.values() if "Critical" in one["name"])
    workflow["enabled"] = False
    workflow["config"]["frequency"] = 1440
    workflow["detectorIds"] = []
    plan = operator.apply_all()
    assert [update.resource.name.partition(": ")[2] for update in plan.updates] == [
        "Critical financial errors"
    ]
    assert operator.plan().changes == 0


def test_a_rule_that_left_the_policy_is_deleted_alert_before_monitor(
    sentry: FakeSentry, operator: Operator
) -> None:
    operator.apply_all()
    plan = Operator(operator.api, policy_with({name: {} for name in GUIDE[:3]})).apply_all()
    deleted = {existing.name.partition(": ")[2] for existing in plan.deletes}
    assert deleted == {"High error rate", "PCI DSS violation"}
    first = next(path for method, path in sentry.changes if method == "DELETE")
    assert first.startswith("organizations/acme/workflows/")
    assert "900" in sentry.workflows
    assert len([one for one in sentry.detectors.values() if one["name"].startswith("Foreign monitor")]) == 2


def test_deletion_keeps_monitors_and_alerts_of_others(sentry: FakeSentry, operator: Operator) -> None:
    operator.apply_all()
    operator.apply(operator.plan_deletion())
    assert operator.existing() == []
    assert set(sentry.workflows) == {"900"}
    assert len(sentry.detectors) == 4


def test_environments_and_projects_have_separate_alerts(operator: Operator) -> None:
    operator.apply_all()
    staging = Operator(operator.api, default_policy("staging"), environment="staging")
    assert staging.apply_all().creates
    mobile = Operator(operator.api, default_policy(), "mita-mobile")
    created = mobile.apply_all().creates
    assert {one.name.partition(": ")[2] for one in created} == {"Mobile crashes"}
    for one in (operator, staging, mobile):
        assert one.plan().changes == 0


def test_the_next_run_completes_an_interrupted_one(sentry: FakeSentry, operator: Operator) -> None:
    sentry.faults = [Fault(500, method="POST", path="workflows")]
    with pytest.raises(SentryApiError, match="500"):
        operator.apply_all()
    again = Operator(operator.api, operator.policy)
    assert again.apply_all().creates
    assert again.plan().changes == 0


def test_duplicates_of_two_concurrent_first_runs_are_deleted(
    sentry: FakeSentry, operator: Operator, api_of: MakeApi
) -> None:
    other = Operator(api_of(sentry), operator.policy)
    plan, same = operator.plan(), other.plan()
    operator.apply(plan)
    other.apply(same)  # planned before the first run created anything
    assert len(operator.existing()) == len(plan.creates)
    assert operator.plan().changes == 0
    ours = {number for number, one in sentry.detectors.items() if one["name"].startswith("mita-otel")}
    connected = {
        number
        for one in sentry.workflows.values()
        for number in one["detectorIds"]
        if one["name"].startswith("mita-otel") and number != "1000"
    }
    assert connected == ours


def test_the_next_apply_deletes_older_duplicates(sentry: FakeSentry, operator: Operator) -> None:
    operator.apply_all()
    count = len(operator.existing())
    monitor = next(one for one in sentry.detectors.values() if "Payment" in one["name"])
    sentry.detectors["9000"] = {**monitor, "id": "9000"}
    for one in sentry.workflows.values():
        if "Payment" in one["name"]:
            one["detectorIds"] = ["9000"]
    plan = operator.apply_all()
    assert [one.id for one in plan.deletes] == ["9000"]
    assert len(operator.existing()) == count
    assert operator.plan().changes == 0


def test_an_environment_without_alerts_gets_no_rules(operator: Operator) -> None:
    development = Operator(operator.api, default_policy("development"), environment="development")
    plan = development.plan()
    assert plan.changes == 0
    assert plan.notes == ('alerts.start is "off" in development: the project gets no rules',)


def test_an_update_keeps_owners_and_connections_set_in_sentry(sentry: FakeSentry, operator: Operator) -> None:
    operator.apply_all()
    for workflow in sentry.workflows.values():
        workflow["owner"] = "user:5"
    for detector in sentry.detectors.values():
        detector["owner"] = {"type": "team", "id": "501", "name": "finance"}
        detector["workflowIds"] = ["900"]  # another alert uses our monitor
    rules = {**all_rules(), "payment_processing_failures": {"count": 5, "channels": ("finance_slack",)}}
    Operator(operator.api, policy_with(rules)).apply_all()
    assert {one["owner"] for one in sentry.workflows.values()} == {"user:5"}
    changed = next(one for one in sentry.detectors.values() if "Payment" in one["name"])
    assert changed["owner"]["id"] == "501"
    assert changed["workflowIds"] == ["900"]


def test_an_alert_may_have_no_pause_between_notifications(operator: Operator) -> None:
    policy = policy_with({"critical_financial_errors": {"cool_down_s": 0}})
    changed = Operator(operator.api, policy)
    changed.apply_all()
    assert changed.plan().changes == 0
    [existing] = changed.existing()
    assert existing.settings["frequency"] == 0


def test_an_unknown_project_is_refused_by_name(sentry: FakeSentry, api_of: MakeApi) -> None:
    with pytest.raises(
        SentryApiError, match="Sentry has no project nothing in the organization acme at http"
    ):
        find_project(api_of(sentry), "nothing")


def test_a_server_without_monitors_is_refused_with_the_release_that_has_them(api_of: MakeApi) -> None:
    server = FakeSentry(monitors=False)
    try:
        with pytest.raises(SentryApiError) as raised:
            Operator(api_of(server), default_policy()).plan()
        assert "alert rules need sentry.io or self-hosted Sentry 26.7.0 or later" in str(raised.value)
        assert raised.value.status == 404
        assert server.changes == []
    finally:
        server.close()


def test_a_project_without_an_error_monitor_is_refused(sentry: FakeSentry, operator: Operator) -> None:
    sentry.detectors = {number: one for number, one in sentry.detectors.items() if one["type"] != "error"}
    with pytest.raises(ConfigurationError, match="has no error monitor in Sentry"):
        operator.apply_all()
