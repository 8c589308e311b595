"""The policy's rules in Sentry: apply, list, apply again, a change, its diff, delete."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from alerts.kit import policy_with
from mita_otel.errors import ConfigurationError
from mita_otel.policy import Policy, default_policy
from mita_otel.policy.conversion import convert
from mita_otel.sentry.alert_rules.choosing import find_project
from mita_otel.sentry.alert_rules.plan import Plan
from mita_otel.sentry.alert_rules.project import ProjectAlerts
from mita_otel.sentry.alert_rules.wanted import OnEvent, OnMetric, WantedAlert, wanted_of
from mita_otel.sentry.api.client import SentryApi
from mita_otel.sentry.api.errors import SentryApiError
from sentry.api import specification
from sentry.api.conftest import MakeApi
from sentry.api.fake import FakeSentry, Fault

GUIDE = [
    "critical_financial_errors",
    "payment_processing_failures",
    "authentication_security_events",
    "high_error_rate",
]


class Operator(ProjectAlerts):
    """Somebody with a policy, and what they do with a project."""

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


@pytest.fixture
def operator(sentry: FakeSentry, api_of: MakeApi) -> Operator:
    return Operator(api_of(sentry), default_policy())


@pytest.mark.skipif(not specification.OPENAPI, reason=specification.WHY_NOT)
def test_the_specification_knows_the_endpoints_that_are_used() -> None:
    judge = specification.published()
    assert judge is not None
    for method, path in (
        ("GET", "detectors/"),
        ("PUT", "workflows/1/"),
        ("POST", "projects/p/detectors/"),
        ("GET", "teams/"),
    ):
        assert judge.operation(method, f"/api/0/organizations/acme/{path}"), path


def test_apply_list_apply_again_change_nothing(sentry: FakeSentry, operator: Operator) -> None:
    first = operator.apply_all()
    assert first.creates and not first.updates and not first.deletes
    titles = {one.name.partition(": ")[2].split(" (")[0] for one in operator.existing()}
    assert {default_policy().alerts.rules[name].title for name in GUIDE} <= titles
    before = len(sentry.changes)
    second = operator.apply_all()
    assert second.changes == 0, list(second.lines())
    assert len(second.unchanged) == len(first.creates)
    assert len(sentry.changes) == before


def test_a_changed_policy_is_a_diff_of_exactly_that(
    sentry: FakeSentry,
    api_of: MakeApi,
    operator: Operator,
) -> None:
    operator.apply_all()
    changed = Operator(
        operator.api, policy_with({**_all_rules(), "payment_processing_failures": {"count": 5}})
    )
    plan = changed.plan()
    assert not plan.creates and not plan.deletes
    shown = [line for line in plan.lines() if line.startswith(("~", "    "))]
    assert shown[0] == "~ monitor mita-otel mita-backend/production: Payment processing failures"
    assert len([line for line in shown if line.startswith("~")]) == 1
    assert {line.rpartition(": ")[2] for line in shown[1:]} == {"2 -> 4"}
    changed.apply_all()
    assert changed.plan().changes == 0


def test_whom_an_alert_tells_is_a_diff_too(operator: Operator) -> None:
    operator.apply_all()
    rules = {**_all_rules(), "payment_processing_failures": {"channels": ("finance_slack",)}}
    plan = Operator(operator.api, policy_with(rules)).plan()
    assert [update.resource.name.partition(": ")[2] for update in plan.updates] == [
        "Payment processing failures"
    ]
    assert any("finance-alerts" in str(one) for one in plan.updates[0].differences)


def test_what_somebody_changed_in_sentry_is_put_back(sentry: FakeSentry, operator: Operator) -> None:
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


def test_a_rule_that_the_policy_has_no_more_is_deleted_and_nothing_else(
    sentry: FakeSentry,
    operator: Operator,
) -> None:
    operator.apply_all()
    rules = {name: {} for name in GUIDE[:3]}
    plan = Operator(operator.api, policy_with(rules)).apply_all()
    gone = {existing.name.partition(": ")[2] for existing in plan.deletes}
    assert gone == {"High error rate", "PCI DSS violation"}
    assert next(path for method, path in sentry.changes if method == "DELETE").startswith(
        "organizations/acme/workflows/"
    )
    assert "900" in sentry.workflows
    assert len([one for one in sentry.detectors.values() if one["name"].startswith("Somebody's")]) == 2


def test_deleting_leaves_what_is_not_ours(sentry: FakeSentry, operator: Operator) -> None:
    operator.apply_all()
    operator.apply(operator.plan_deletion())
    assert operator.existing() == []
    assert set(sentry.workflows) == {"900"}
    assert len(sentry.detectors) == 4


def test_environments_and_projects_have_alerts_of_their_own(operator: Operator) -> None:
    operator.apply_all()
    staging = Operator(operator.api, default_policy("staging"), environment="staging")
    assert staging.apply_all().creates
    mobile = Operator(operator.api, default_policy(), "mita-mobile")
    created = mobile.apply_all().creates
    assert {one.name.partition(": ")[2] for one in created} == {"Mobile crashes"}
    for one in (operator, staging, mobile):
        assert one.plan().changes == 0


def test_a_run_that_was_interrupted_is_finished_by_the_next(sentry: FakeSentry, operator: Operator) -> None:
    sentry.faults = [Fault(500, method="POST", path="workflows")]
    with pytest.raises(SentryApiError, match="500"):
        operator.apply_all()
    again = Operator(operator.api, operator.policy)
    assert again.apply_all().creates
    assert again.plan().changes == 0


def test_two_of_the_same_name_are_refused(sentry: FakeSentry, operator: Operator) -> None:
    operator.apply_all()
    kept = sentry.workflows
    number, one = next((number, one) for number, one in kept.items() if "Critical" in one["name"])
    kept["5000"] = {**one, "id": "5000"}
    with pytest.raises(ConfigurationError, match=rf"Sentry has several of the .* \(ids {number}, 5000\)"):
        operator.plan()


def test_what_somebody_has_added_to_ours_in_sentry_stays(sentry: FakeSentry, api_of: MakeApi) -> None:
    operator = Operator(api_of(sentry), default_policy())
    operator.apply_all()
    for workflow in sentry.workflows.values():
        workflow["owner"] = "user:5"
    for detector in sentry.detectors.values():
        detector["owner"] = {"type": "team", "id": "501", "name": "finance"}
        detector["workflowIds"] = ["900"]  # somebody's alert tells of it as well
    rules = {**_all_rules(), "payment_processing_failures": {"count": 5, "channels": ("finance_slack",)}}
    Operator(operator.api, policy_with(rules)).apply_all()
    assert {one["owner"] for one in sentry.workflows.values()} == {"user:5"}
    changed = next(one for one in sentry.detectors.values() if "Payment" in one["name"])
    assert changed["owner"]["id"] == "501"
    assert changed["workflowIds"] == ["900"]


# --- which server and project ------------------------------------------------------------------------
def test_a_project_that_there_is_not_is_said_as_such(sentry: FakeSentry, api_of: MakeApi) -> None:
    with pytest.raises(
        SentryApiError, match="Sentry knows no project nothing in the organization acme at http"
    ):
        find_project(api_of(sentry), "nothing")


def test_a_server_without_monitors_is_refused_with_the_release_that_has_them(api_of: MakeApi) -> None:
    fake = FakeSentry(monitors=False)
    try:
        with pytest.raises(SentryApiError) as raised:
            Operator(api_of(fake), default_policy()).plan()
        assert "alert rules need sentry.io or self-hosted Sentry 26.7.0 or later" in str(raised.value)
        assert raised.value.status == 404
        assert fake.changes == []
    finally:
        fake.close()


def test_a_project_without_an_error_monitor_is_said(sentry: FakeSentry, api_of: MakeApi) -> None:
    operator = Operator(api_of(sentry), default_policy())
    sentry.detectors = {number: one for number, one in sentry.detectors.items() if one["type"] != "error"}
    with pytest.raises(ConfigurationError, match="has no error monitor in Sentry"):
        operator.apply_all()


# --- whom --------------------------------------------------------------------------------------------
def notes(operator: Operator) -> str:
    plan = operator.plan()
    return "\n".join([*plan.notes, *plan.missing])


def test_who_cannot_be_told_is_said_and_the_owners_are_told_instead(operator: Operator) -> None:
    said = notes(operator)
    assert "pci_violation: there is no team compliance in Sentry" in said
    assert "has no service Compliance Critical; it knows Finance Critical, Security Critical" in said
    assert "Sentry has no escalation (critical_financial_errors, payment_processing_failures" in said
    assert "SECRETKEY" not in said


def test_without_integrations_it_is_said_what_to_install(sentry: FakeSentry, operator: Operator) -> None:
    sentry.integrations = []
    sentry.teams = []
    said = notes(operator)
    assert "Sentry has no Slack integration: install it under Settings, Integrations" in said
    assert "Sentry has no PagerDuty integration" in said
    operator.apply_all()
    assert operator.plan().changes == 0


def test_of_several_workspaces_one_has_to_be_chosen(sentry: FakeSentry, operator: Operator) -> None:
    sentry.integrations.append({**sentry.integrations[0], "id": "703", "name": "other"})
    assert (
        "Sentry knows several of Slack (acme, other): choose one in alerts.sentry.slack_workspace"
        in notes(operator)
    )
    tree = operator.policy.to_dict()
    tree["alerts"]["sentry"]["slack_workspace"] = "other"
    chosen = Operator(operator.api, convert(Policy, tree))
    assert "several" not in notes(chosen)


def test_a_token_that_may_not_see_integrations_is_said(sentry: FakeSentry, operator: Operator) -> None:
    sentry.faults = [Fault(403, path="integrations", times=99)]
    assert "the token may not see which integrations there are (slack): it needs org:read" in notes(operator)


# --- what is wanted ----------------------------------------------------------------------------------
def wanted(**rules: dict[str, Any]) -> tuple[dict[str, WantedAlert], Sequence[str]]:
    found = wanted_of(policy_with(rules), environment="production", project="p")
    return {one.rule: one for one in found.alerts}, found.notes


def mine(**changes: Any) -> dict[str, Any]:
    return {
        "title": "Mine", "on": ("errors",), "count": 1, "window_s": 60, "urgency": "error", "channels": ("finance_slack",),
        **changes,
    }  # fmt: skip


def test_three_in_five_minutes_is_more_than_two_project_wide() -> None:
    alerts, _ = wanted(payment_processing_failures={})
    trigger = alerts["payment_processing_failures"].trigger
    assert isinstance(trigger, OnMetric)
    assert (trigger.above, trigger.window_s, trigger.aggregate) == (2, 300, "count()")
    assert "error_category:payment_processing" in trigger.query


def test_one_within_a_minute_is_a_filter_alone() -> None:
    alerts, _ = wanted(critical_financial_errors={})
    trigger = alerts["critical_financial_errors"].trigger
    assert isinstance(trigger, OnEvent)
    [group] = trigger.groups
    assert ("financial_service", "eq", "true") in [(one.key, one.match, one.value) for one in group]
    assert ("level", "gte", 50) in [(one.key, one.match, one.value) for one in group]


def shown(name: str) -> list[set[tuple[str, str, str | int]]]:
    alerts, _ = wanted(**{name: {}})
    trigger = alerts[name].trigger
    assert isinstance(trigger, OnEvent)
    return [{(one.key, one.match, one.value) for one in group} for group in trigger.groups]


def test_the_guides_rules_on_single_events_as_filters() -> None:
    assert shown("critical_financial_errors") == [
        {("financial_service", "eq", "true"), ("security_event", "ns", ""), ("level", "gte", 50)}
    ]
    groups = shown("authentication_security_events")
    common = {("financial_service", "eq", "true"), ("level", "gte", 40)} | {
        ("security_event", "ne", name)
        for name in ("failed_login", "login_failed", "login_failure", "authentication_failure", "failed_mfa")
    }
    assert [group - common for group in groups] == [
        {("error_category", "eq", category)}
        for category in ("authentication", "authorization", "security_violation")
    ]
    assert all(common <= group for group in groups)


@pytest.mark.parametrize(
    ("cool_down_s", "minutes"), [(0, 0), (299, 0), (300, 5), (900, 10), (1800, 30), (86_400, 1440)]
)
def test_sentrys_pause_is_the_nearest_below_the_cool_down(cool_down_s: float, minutes: int) -> None:
    alerts, _ = wanted(x=mine(cool_down_s=cool_down_s))
    assert alerts["x"].frequency_min == minutes


def test_an_alert_may_have_no_pause(sentry: FakeSentry, api_of: MakeApi) -> None:
    rules = {"critical_financial_errors": {"cool_down_s": 0}}
    operator = Operator(api_of(sentry), policy_with(rules))
    operator.apply_all()
    assert operator.plan().changes == 0
    [made] = operator.existing()
    assert made.form["frequency"] == 0


def test_an_error_rate_is_a_fraction() -> None:
    alerts, _ = wanted(high_error_rate={})
    trigger = alerts["high_error_rate"].trigger
    assert isinstance(trigger, OnMetric)
    assert (trigger.aggregate, trigger.above) == ("failure_rate()", 0.05)


def test_severities_that_are_no_range_are_tags() -> None:
    alerts, _ = wanted(x=mine(severities=("high", "low")))
    trigger = alerts["x"].trigger
    assert isinstance(trigger, OnEvent)
    assert {one.value for group in trigger.groups for one in group if one.key == "severity"} == {
        "high",
        "low",
    }


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"on": ("burn_rate",), "windows": ("fast",)}, "Sentry has nothing like burn_rate"),
        ({"on": ("volume",), "above_usual": 3.0}, "Sentry has nothing like volume"),
        ({"on": ("breaches",)}, "Sentry does not count broken limits"),
        (
            {"on": ("failures",), "kinds": ("database",), "count": 5},
            "of failures Sentry knows the share of failed requests",
        ),
        ({"names": ("Gate*Timeout",)}, "has a * in the middle"),
        ({"except_names": ("Gate*",)}, "an exception with a pattern"),
        ({"categories": ("a", "b", "c", "d"), "names": ("A", "B", "C", "D")}, "16 groups of filters"),
    ],
)
def test_what_sentry_cannot_do_is_said_and_left_to_this_library(changes: dict[str, Any], said: str) -> None:
    alerts, notes = wanted(x=mine(**changes))
    assert alerts == {}
    assert said in notes[0] and notes[0].endswith("it is watched by this library alone")


@pytest.mark.parametrize(
    ("changes", "query"),
    [
        ({"names": ("Gateway*", "Timeout")}, "(error.type:Gateway* OR error.type:Timeout)"),
        ({"names": ("A", "B")}, "error.type:[A, B]"),
        ({"except_names": ("A*", "B*")}, "!error.type:A* !error.type:B*"),
        ({"operations": ("refund payment",)}, 'financial_operation:"refund payment"'),
        ({"on": ("security",), "names": ("mfa",)}, "has:security_event security_event:mfa"),
        ({"on": ("compliance",), "names": ("PCI*",)}, "error_category:compliance_issue message:PCI*"),
        ({"on": ("compliance",), "names": ("GDPR",)}, "message:GDPR*"),
        ({"unhandled": True}, "error.unhandled:true"),
    ],
)
def test_what_is_counted_is_found_by_a_query(changes: dict[str, Any], query: str) -> None:
    alerts, _ = wanted(x=mine(count=2, **changes))
    trigger = alerts["x"].trigger
    assert isinstance(trigger, OnMetric)
    assert query in trigger.query


def test_a_window_that_sentry_does_not_know_is_the_next_longer_one() -> None:
    alerts, notes = wanted(x=mine(count=2, window_s=400))
    trigger = alerts["x"].trigger
    assert isinstance(trigger, OnMetric) and trigger.window_s == 600
    assert "x: Sentry looks back on 600 seconds, not on 400" in notes


def test_a_rule_that_is_only_local_is_not_wanted_of_sentry() -> None:
    alerts, notes = wanted(x=mine(evaluated_by="local"), y=mine(title="Y", enabled=False))
    assert (alerts, list(notes)) == ({}, [])


def _all_rules() -> dict[str, dict[str, Any]]:
    return {name: {} for name in default_policy().alerts.rules}
