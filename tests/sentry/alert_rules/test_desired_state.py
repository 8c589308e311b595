"""Rules of the policy in terms of Sentry's features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from alerts.kit import policy_with
from mita_otel.sentry.alert_rules.desired_state import AlertSpec, EventTrigger, MetricTrigger, desired_state
from sentry.alert_rules.operator import custom_rule


def desired(**rules: dict[str, Any]) -> tuple[dict[str, AlertSpec], Sequence[str]]:
    state = desired_state(policy_with(rules), environment="production", project="p")
    return {one.rule: one for one in state.alerts}, state.notes


def test_three_within_five_minutes_is_a_metric_above_two() -> None:
    alerts, _ = desired(payment_processing_failures={})
    trigger = alerts["payment_processing_failures"].trigger
    assert isinstance(trigger, MetricTrigger)
    assert (trigger.above, trigger.window_s, trigger.aggregate) == (2, 300, "count()")
    assert "error_category:payment_processing" in trigger.query


def test_one_event_is_a_trigger_without_a_metric() -> None:
    alerts, _ = desired(critical_financial_errors={})
    assert isinstance(alerts["critical_financial_errors"].trigger, EventTrigger)


def test_an_error_rate_is_the_fraction_of_requests_with_a_server_error() -> None:
    alerts, _ = desired(high_error_rate={})
    trigger = alerts["high_error_rate"].trigger
    assert isinstance(trigger, MetricTrigger)
    # Sentry's `failure_rate()` also counts 401, 404 and 422, which the local rule does not.
    assert (trigger.aggregate, trigger.above) == ("http_response_rate(5)", 0.05)
    assert trigger.query == "is_transaction:true span.op:http.server"


@pytest.mark.parametrize(
    ("cool_down_s", "minutes"), [(0, 0), (299, 0), (300, 5), (900, 10), (1800, 30), (86_400, 1440)]
)
def test_the_pause_is_the_nearest_below_the_cool_down(cool_down_s: float, minutes: int) -> None:
    alerts, _ = desired(x=custom_rule(cool_down_s=cool_down_s))
    assert alerts["x"].frequency_min == minutes


def test_the_window_is_the_nearest_above_the_rules() -> None:
    alerts, notes = desired(x=custom_rule(count=2, window_s=400))
    trigger = alerts["x"].trigger
    assert isinstance(trigger, MetricTrigger) and trigger.window_s == 600
    assert "x: Sentry's window is 600 seconds, not 400" in notes


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"on": ("burn_rate",), "windows": ("fast",)}, "Sentry has no rules on burn_rate"),
        ({"on": ("volume",), "above_usual": 3.0}, "Sentry has no rules on volume"),
        ({"on": ("breaches",)}, "Sentry does not count exceeded limits"),
        (
            {"on": ("failures",), "kinds": ("database",), "count": 5},
            "of failures, Sentry only supports the rate of failed requests",
        ),
        ({"names": ("Gate*Timeout",)}, "has a wildcard in the middle"),
        ({"except_names": ("Gate*",)}, "an exception with a wildcard"),
        ({"categories": ("a", "b", "c", "d"), "names": ("A", "B", "C", "D")}, "16 groups of filters"),
    ],
)
def test_a_rule_that_sentry_does_not_support_stays_local(changes: dict[str, Any], reason: str) -> None:
    alerts, notes = desired(x=custom_rule(**changes))
    assert alerts == {}
    assert reason in notes[0] and notes[0].endswith("only this library evaluates the rule")


def test_local_and_disabled_rules_are_not_desired() -> None:
    alerts, notes = desired(x=custom_rule(evaluated_by="local"), y=custom_rule(title="Y", enabled=False))
    assert (alerts, list(notes)) == ({}, [])
