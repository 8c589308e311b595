"""Spans are counted for rules; the number of operations is bounded by the policy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan

from alerts.kit import SECOND, START, policy_with
from mita_otel.alerts.events import OTHER
from mita_otel.alerts.span_counter import SpanCounter
from mita_otel.latency.facts import SpanFacts
from mita_otel.latency.limits import LimitBook
from mita_otel.latency.measures import measure_of
from mita_otel.latency.operations import Operation
from mita_otel.policy import Policy
from mita_otel.processors.observation import Observation, has_failed

RULE: Mapping[str, Any] = {
    "title": "Mine",
    "window_s": 300,
    "urgency": "info",
    "channels": ("finance_slack",),
}
FAILURES = {**RULE, "on": ("failures",), "count": 1, "group_by": ("operation",)}
BUDGETS = {**RULE, "on": ("burn_rate",), "windows": ("fast",), "group_by": ("name",)}


def counter(policy: Policy, max_subjects: int) -> SpanCounter:
    objective = policy.thresholds.objective
    return SpanCounter(policy.alerts.rules, objective, max_subjects=max_subjects, clock_ns=lambda: START)


def request(
    name: str, method: str = "GET", *, failed: bool = False, policy: Policy | None = None
) -> Observation:
    attributes = {"http.request.method": method, "http.route": f"/{name}"}
    facts = SpanFacts(f"{method} /{name}", "SERVER", 1.0, attributes)
    verdict = LimitBook((policy or policy_with({})).thresholds).verdict(facts)
    return Observation(ReadableSpan(name), facts, Operation("api", name), verdict, failed)


def test_operations_above_the_bound_are_counted_together() -> None:
    spans = counter(policy_with({"mine": FAILURES}), max_subjects=3)
    for number in range(100):
        spans.observe(request(f"operation {number}", failed=number % 2 == 0))
    counted = {point.subject: (point.hits, point.total) for point in spans.take()}
    assert counted == {
        "operation 0": (1, 1),
        "operation 1": (0, 1),
        "operation 2": (1, 1),
        OTHER: (48, 97),
    }


def test_the_bound_applies_to_the_life_of_the_process_not_to_one_evaluation() -> None:
    spans = counter(policy_with({"mine": FAILURES}), max_subjects=3)
    subjects: set[str] = set()
    for number in range(100):
        spans.observe(request(f"operation {number}"))
        subjects |= {point.subject for point in spans.take()}
    assert subjects == {"operation 0", "operation 1", "operation 2", OTHER}


def test_each_rule_has_its_own_bound() -> None:
    spans = counter(policy_with({"one": FAILURES, "two": {**FAILURES, "title": "Second"}}), max_subjects=2)
    for number in range(10):
        spans.observe(request(f"operation {number}"))
    assert {point.rule for point in spans.take() if point.subject == "operation 1"} == {"one", "two"}


def test_the_bound_applies_to_limits_as_well() -> None:
    policy = policy_with({"mine": BUDGETS})
    spans = counter(policy, max_subjects=1)
    for method in ("GET", "POST", "DELETE"):
        spans.observe(request("items", method, policy=policy))
    assert {point.subject: point.total for point in spans.take()} == {"api.methods.GET": 1, OTHER: 2}


def test_take_empties_the_counter() -> None:
    spans = counter(policy_with({"mine": FAILURES}), max_subjects=3)
    spans.observe(request("operation"))
    assert len(spans.take()) == 1
    assert spans.take() == []


@pytest.mark.parametrize(("window_s", "interval_s"), [(10, 1), (300, 10), (86_400, 60)])
def test_spans_of_a_short_interval_become_one_point(window_s: int, interval_s: int) -> None:
    clock = [START]
    policy = policy_with({"mine": {**FAILURES, "window_s": window_s}})
    objective = policy.thresholds.objective
    spans = SpanCounter(policy.alerts.rules, objective, max_subjects=3, clock_ns=lambda: clock[0])
    for clock[0] in (START, START + interval_s * SECOND - 1, START + interval_s * SECOND):
        spans.observe(request("operation"))
    assert [(point.at_ns - START, point.total) for point in spans.take()] == [
        (0, 2),
        (interval_s * SECOND, 1),
    ]


@pytest.mark.parametrize(
    ("status", "failed"),
    [
        (200, False),
        (302, False),
        (401, False),
        (404, False),
        (422, False),
        (429, False),
        (500, True),
        (503, True),
    ],
)
def test_only_server_errors_are_failures_in_the_local_rule_and_in_metrics(status: int, failed: bool) -> None:
    """Sentry's rule counts the same: the rate of responses from 500 on."""
    span = ReadableSpan(
        "GET /", attributes={"http.request.method": "GET", "http.response.status_code": status}
    )
    facts = SpanFacts(span.name, "SERVER", 1.0, span.attributes or {})
    assert has_failed(span) is failed
    measure = measure_of(facts, Operation("api", "GET /"), failed=has_failed(span))
    assert ("error.type" in measure.attributes) is failed
