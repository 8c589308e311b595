"""Each row of the guide's Performance Thresholds is a limit, and the most specific limit applies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mita_otel.latency.facts import SpanFacts
from mita_otel.latency.limits import Breach, LimitBook
from mita_otel.policy import default_policy
from mita_otel.policy.conversion import convert
from mita_otel.policy.thresholds import ThresholdPolicy

ENVIRONMENTS = ("production", "staging", "development")
BOOKS = {name: LimitBook(default_policy(name).thresholds) for name in ENVIRONMENTS}


def request(
    method: str, route: str, duration_ms: float = 0.0, more: Mapping[str, Any] | None = None
) -> SpanFacts:
    attributes = {"http.request.method": method, "http.route": route, **(more or {})}
    return SpanFacts(f"{method} {route}", "SERVER", duration_ms, attributes)


def query(verb: str, duration_ms: float = 0.0) -> SpanFacts:
    return SpanFacts(verb, "CLIENT", duration_ms, {"db.system": "postgresql", "db.statement": f"{verb} t"})


def operation(name: str, duration_ms: float = 0.0, more: Mapping[str, Any] | None = None) -> SpanFacts:
    return SpanFacts(name, "INTERNAL", duration_ms, {"mita.operation": name, **(more or {})})


BACKGROUND = SpanFacts("BackgroundTask mail", "INTERNAL", 0.0, {})

# facts, rule, milliseconds in production (from the guide), staging and development.
GUIDE: list[tuple[SpanFacts, str, float, float, float]] = [
    (request("GET", "/api/accounts"), "api.methods.GET", 500, 800, 1000),
    (request("POST", "/api/accounts"), "api.methods.POST", 1000, 1500, 2000),
    (request("PUT", "/api/accounts/{id}"), "api.methods.PUT", 800, 1200, 1600),
    (request("DELETE", "/api/notes/{id}"), "api.methods.DELETE", 600, 900, 1200),
    (request("PATCH", "/api/notes/{id}"), "api.methods.PATCH", 700, 1050, 1400),
    (request("GET", "/api/accounts/{id}/balance"), "api.financial.GET", 300, 500, 600),
    (request("GET", "/api/users/profile"), "api.financial.GET", 300, 500, 600),
    (request("POST", "/api/transactions"), "api.financial.POST", 800, 1200, 1600),
    (request("PUT", "/api/payments/{id}"), "api.financial.PUT", 1000, 1500, 2000),
    (request("DELETE", "/api/cards/{id}"), "api.financial.DELETE", 500, 750, 1000),
    (request("DELETE", "/api/accounts/{id}"), "api.financial.DELETE", 500, 750, 1000),
    (request("OPTIONS", "/api/accounts"), "api.fallback", 1000, 1500, 2000),
    (query("SELECT"), "database.SELECT", 200, 300, 500),
    (query("INSERT"), "database.INSERT", 300, 450, 750),
    (query("UPDATE"), "database.UPDATE", 400, 600, 1000),
    (query("DELETE"), "database.DELETE", 250, 400, 600),
    (operation("transaction_processing"), "financial.transaction_processing", 1000, 1500, 2000),
    (operation("budget_calculation"), "financial.budget_calculation", 1500, 2200, 3000),
    (operation("financial_analysis"), "financial.financial_analysis", 3000, 4500, 6000),
    (operation("payment_processing"), "financial.payment_processing", 1200, 1800, 2500),
    (BACKGROUND, "background.default", 5000, 7500, 10000),
]


@pytest.mark.parametrize(("facts", "rule", "production", "staging", "development"), GUIDE)
def test_each_row_of_the_guide_is_a_limit(
    facts: SpanFacts, rule: str, production: float, staging: float, development: float
) -> None:
    for name, limit_ms in zip(ENVIRONMENTS, (production, staging, development), strict=True):
        found = BOOKS[name].rule_for(facts)
        assert found is not None
        assert (found.name, found.limit_ms) == (rule, limit_ms), name


@pytest.mark.parametrize(("facts", "rule", "production", "_staging", "_development"), GUIDE)
def test_only_a_duration_above_the_limit_is_a_breach(
    facts: SpanFacts, rule: str, production: float, _staging: float, _development: float
) -> None:
    def judged(duration_ms: float) -> Breach | None:
        return BOOKS["production"].judge(
            SpanFacts(facts.name, facts.span_kind, duration_ms, facts.attributes)
        )

    assert judged(production - 0.001) is None
    assert judged(production) is None
    breach = judged(production + 0.001)
    assert breach is not None
    assert (breach.kind, breach.rule, breach.limit_ms) == (facts.kind, rule, production)
    assert breach.overrun_ms == pytest.approx(0.001)


@pytest.mark.parametrize(
    ("facts", "rule"),
    [
        (request("GET", "/api/balances"), "api.methods.GET"),
        (request("GET", "/api/rebalance/{id}"), "api.methods.GET"),
        (request("GET", "/api/{balance}"), "api.methods.GET"),
        (request("POST", "/api/balance"), "api.methods.POST"),
        (request("GET", "/api/transactions"), "api.methods.GET"),
        (request("GET", "/balance"), "api.financial.GET"),
        (request("GET", "/balance/"), "api.financial.GET"),
        (request("get", "/balance"), "api.financial.GET"),
        (request("_OTHER", "/balance"), "api.fallback"),
    ],
)
def test_a_financial_endpoint_is_matched_by_a_whole_route_segment(facts: SpanFacts, rule: str) -> None:
    found = BOOKS["production"].rule_for(facts)
    assert found is not None
    assert found.name == rule


@pytest.mark.parametrize(
    "attributes",
    [
        {"http.request.method": "GET", "url.path": "/api/accounts/77/balance", "url.query": "a=profile"},
        {"http.method": "GET", "http.target": "/api/accounts/77/balance?a=/b"},
        {"http.method": "GET", "http.url": "http://profile/api/accounts/77/balance?x"},
    ],
)
def test_without_a_route_path_segments_are_matched(attributes: dict[str, Any]) -> None:
    found = BOOKS["production"].rule_for(SpanFacts("GET", "SERVER", 1, attributes))
    assert found is not None
    assert found.name == "api.financial.GET"


def test_query_and_host_are_not_matched() -> None:
    attributes = {"http.method": "GET", "http.url": "http://balance/api/notes?next=/a/balance"}
    found = BOOKS["production"].rule_for(SpanFacts("GET", "SERVER", 1, attributes))
    assert found is not None
    assert found.name == "api.methods.GET"


def test_a_route_takes_precedence_over_the_path() -> None:
    facts = request("GET", "/api/{thing}", more={"url.path": "/api/balance"})
    found = BOOKS["production"].rule_for(facts)
    assert found is not None
    assert found.name == "api.methods.GET"


def changed(**tables: Any) -> LimitBook:
    """Return a book of the production limits with some tables replaced."""
    tree = default_policy().thresholds.to_dict()
    for name, value in tables.items():
        table, _, key = name.partition("__")
        if key:
            tree[table][key] = value
        else:
            tree[table] = value
    return LimitBook(convert(ThresholdPolicy, tree))


def test_an_exact_route_takes_precedence_over_financial_limit_and_method() -> None:
    book = changed(api__routes={"GET /api/accounts/{id}/balance": 50, "POST /api/auth/login": 400})
    for facts, rule, limit_ms in [
        (request("GET", "/api/accounts/{id}/balance"), "api.routes.GET /api/accounts/{id}/balance", 50),
        (request("POST", "/api/auth/login"), "api.routes.POST /api/auth/login", 400),
        (request("GET", "/api/auth/login"), "api.methods.GET", 500),
    ]:
        found = book.rule_for(facts)
        assert found is not None
        assert (found.name, found.limit_ms) == (rule, limit_ms)


def test_a_disabled_limit_is_measured_and_never_exceeded() -> None:
    book = changed(
        api__routes={"GET /stream": "off"},
        api__fallback_ms="off",
        database={"SELECT": "off"},
        financial={"payment_processing": "off"},
        background__default_ms="off",
    )
    for facts in (
        request("GET", "/stream", 1e9),
        request("OPTIONS", "/", 1e9),
        query("SELECT", 1e9),
        operation("payment_processing", 1e9),
        SpanFacts(BACKGROUND.name, "INTERNAL", 1e9, {}),
    ):
        assert book.judge(facts) is None
        found = book.rule_for(facts)
        assert found is not None
        assert found.limit_ms is None


def test_disabled_thresholds_report_no_breach() -> None:
    assert changed(enabled=False).judge(query("SELECT", 1e9)) is None


def test_an_operation_has_the_limit_of_its_name_or_its_category() -> None:
    book = BOOKS["production"]
    category = {"mita.operation.category": "budget_calculation"}
    by_name = book.rule_for(operation("payment_processing", more=category))
    by_category = book.rule_for(operation("monthly_budget", more=category))
    assert by_name is not None and by_name.name == "financial.payment_processing"
    assert by_category is not None and by_category.name == "financial.budget_calculation"
    assert book.rule_for(operation("monthly_budget")) is None
    assert book.judge(operation("monthly_budget", 1e9)) is None


def test_a_background_task_with_the_name_of_an_operation_has_its_limit() -> None:
    breach = BOOKS["production"].judge(
        operation("payment_processing", 1201, more={"mita.operation.kind": "background"})
    )
    assert breach == Breach("background", "financial.payment_processing", 1200, 1201)


def test_verbs_without_a_limit_have_no_rule() -> None:
    for verb in ("BEGIN", "COMMIT", "CREATE", "PRAGMA"):
        assert BOOKS["production"].rule_for(query(verb)) is None


_SEGMENT = st.text(alphabet="abcdeflnrotip{}", min_size=1, max_size=9)


@given(st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD"]), st.lists(_SEGMENT, max_size=6))
def test_every_request_has_the_limit_of_a_naive_lookup(method: str, segments: list[str]) -> None:
    api = default_policy().thresholds.api
    route = "/" + "/".join(segments)
    financial = api.financial.get(method)
    expected: Any = api.methods.get(method, api.fallback_ms)
    if financial and any(segment in financial.segments for segment in segments):
        expected = financial.limit_ms
    found = BOOKS["production"].rule_for(request(method, route))
    assert found is not None
    assert found.limit_ms == expected


@given(st.floats(min_value=0, max_value=1e7), st.sampled_from([facts for facts, *_ in GUIDE]))
def test_a_span_is_a_breach_if_and_only_if_it_is_above_its_limit(
    duration_ms: float, facts: SpanFacts
) -> None:
    rule = BOOKS["production"].rule_for(facts)
    assert rule is not None and rule.limit_ms is not None
    judged = BOOKS["production"].judge(SpanFacts(facts.name, facts.span_kind, duration_ms, facts.attributes))
    assert (judged is not None) == (duration_ms > rule.limit_ms)
