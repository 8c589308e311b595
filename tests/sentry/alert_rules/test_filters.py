"""Rules about events as filters and as search queries."""

from __future__ import annotations

from typing import Any

import pytest

from alerts.kit import policy_with
from mita_otel.sentry.alert_rules.filters import filter_groups, search_query
from sentry.alert_rules.operator import custom_rule

Shown = set[tuple[str, str, str | int]]


def groups(**rules: dict[str, Any]) -> list[Shown]:
    """Key, operator and value of each filter, by group."""
    policy = policy_with(rules)
    [rule] = policy.alerts.rules.values()
    return [{(one.key, one.operator, one.value) for one in group} for group in filter_groups(policy, rule)]


def test_critical_errors_are_filtered_by_level() -> None:
    assert groups(critical_financial_errors={}) == [
        {("financial_service", "eq", "true"), ("security_event", "ns", ""), ("level", "gte", 50)}
    ]


def test_several_categories_are_several_groups() -> None:
    found = groups(authentication_security_events={})
    common = {("financial_service", "eq", "true"), ("level", "gte", 40)} | {
        ("security_event", "ne", name)
        for name in ("failed_login", "login_failed", "login_failure", "authentication_failure", "failed_mfa")
    }
    assert [group - common for group in found] == [
        {("error_category", "eq", category)}
        for category in ("authentication", "authorization", "security_violation")
    ]
    assert all(common <= group for group in found)


def test_severities_that_are_not_a_range_are_filtered_by_tag() -> None:
    found = groups(x=custom_rule(severities=("high", "low")))
    assert {value for group in found for key, _, value in group if key == "severity"} == {"high", "low"}


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
def test_a_counted_event_is_found_by_a_query(changes: dict[str, Any], query: str) -> None:
    [rule] = policy_with({"x": custom_rule(count=2, **changes)}).alerts.rules.values()
    assert query in search_query(rule)
