"""A rule matches a span if all its conditions hold; the highest ratio applies."""

from __future__ import annotations

from typing import Any

import pytest

from mita_otel.latency.facts import SpanFacts
from mita_otel.latency.operations import Operation
from mita_otel.policy.conversion import convert
from mita_otel.policy.sampling import SamplingRule
from mita_otel.processors.sampling.decision import SamplingMatch, SamplingRules

REQUEST = {"http.request.method": "GET", "http.route": "/api/accounts/{id}", "tenant": "gold", "beta": True}


def request(duration_ms: float = 10, **more: Any) -> SpanFacts:
    return SpanFacts("GET", "SERVER", duration_ms, {**REQUEST, **more})


def operation(name: str) -> SpanFacts:
    return SpanFacts(name, "INTERNAL", 10, {"mita.operation": name})


def rules(recent: Any = None, **by_name: dict[str, Any]) -> SamplingRules:
    return SamplingRules({name: convert(SamplingRule, rule) for name, rule in by_name.items()}, recent)


@pytest.mark.parametrize(
    ("rule", "span", "matches"),
    [
        ({"operation": "payment_*"}, operation("payment_processing"), True),
        ({"operation": "payment_*"}, operation("repayment_x"), False),
        ({"operation": "*"}, operation("x"), True),
        ({"operation": "*"}, SpanFacts("x", "INTERNAL", 1, {}), True),
        ({"operation": "pay?ent"}, operation("payment"), False),
        ({"operation": "pay[m]ent"}, operation("payment"), False),
        ({"route": "GET /api/accounts/{id}"}, request(), True),
        ({"route": "GET /api/*"}, request(), True),
        ({"route": "* /api/*"}, request(), True),
        ({"route": "POST /api/*"}, request(), False),
        (
            {"route": "GET /health"},
            SpanFacts("GET", "SERVER", 10, {**REQUEST, "http.route": None, "url.path": "/health"}),
            True,
        ),
        ({"route": "GET *"}, SpanFacts("GET", "CLIENT", 1, {"http.request.method": "GET"}), False),
        ({"attributes": {"tenant": "gold"}}, request(), True),
        ({"attributes": {"tenant": "go*"}}, request(), True),
        ({"attributes": {"tenant": "silver"}}, request(), False),
        ({"attributes": {"tenant": "*", "beta": "true"}}, request(), True),
        ({"attributes": {"missing": "*"}}, request(), False),
        ({"longer_than_ms": 10}, request(10), True),
        ({"longer_than_ms": 10}, request(9.9), False),
        (
            {"route": "GET /api/*", "longer_than_ms": 100, "attributes": {"tenant": "gold"}},
            request(100),
            True,
        ),
        (
            {"route": "GET /api/*", "longer_than_ms": 100, "attributes": {"tenant": "gold"}},
            request(99),
            False,
        ),
        ({"above_percentile": 95}, request(), False),
    ],
)
def test_a_rule_matches_only_if_all_its_conditions_hold(
    rule: dict[str, Any], span: SpanFacts, matches: bool
) -> None:
    assert rules(a=rule).match(span) == (SamplingMatch("a", 1.0) if matches else None)


@pytest.mark.parametrize(("usual_ms", "matches"), [(9.9, True), (10, False), (None, False)])
def test_a_duration_above_the_usual_percentile_matches(usual_ms: float | None, matches: bool) -> None:
    class Usual:
        def percentile_ms(self, operation: Operation, percentile: float) -> float | None:
            assert (operation, percentile) == (Operation("api", "GET /api/accounts/{id}"), 95)
            return usual_ms

    assert (rules(Usual(), a={"above_percentile": 95}).match(request(10)) is not None) is matches


def test_the_matching_rule_with_the_highest_ratio_applies() -> None:
    several = rules(
        few={"route": "GET /api/*", "ratio": 0.01},
        many={"attributes": {"tenant": "gold"}, "ratio": 0.5},
        other={"operation": "payment_processing", "ratio": 1},
    )
    assert several.match(request()) == SamplingMatch("many", 0.5)
    assert several.match(request(tenant="silver")) == SamplingMatch("few", 0.01)
    assert several.match(SpanFacts("x", "INTERNAL", 1, {})) is None


def test_an_empty_set_of_rules_is_false() -> None:
    assert not rules()
    assert rules(a={"operation": "x"})
