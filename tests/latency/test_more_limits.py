"""Limits by table, host, command, destination and screen; two limits for one request; adaptive limits."""

from __future__ import annotations

from typing import Any

import pytest

from mita_otel.latency.facts import SpanFacts
from mita_otel.latency.limits import LimitBook
from mita_otel.latency.operations import Operation, operation_of
from mita_otel.policy import default_policy, load_policy
from mita_otel.policy.conversion import convert
from mita_otel.policy.thresholds import ThresholdPolicy


def book(tmp_path: Any, text: str, recent: Any = None) -> LimitBook:
    file = tmp_path / "mita-otel.toml"
    file.write_text(text)
    return LimitBook(load_policy(file, env={}).thresholds, recent)


def facts(
    attributes: dict[str, Any], span_kind: str = "INTERNAL", name: str = "x", duration_ms: float = 1.0
) -> SpanFacts:
    return SpanFacts(name, span_kind, duration_ms, attributes)


def statement(text: str, table: str | None = None) -> SpanFacts:
    attributes = {"db.system.name": "postgresql", "db.query.text": text}
    return facts({**attributes, **({"db.collection.name": table} if table else {})}, "CLIENT")


def outgoing(url: str, **more: Any) -> SpanFacts:
    return facts({"http.request.method": "GET", "url.full": url, **more}, "CLIENT")


def redis(command: str) -> SpanFacts:
    return facts({"db.system": "redis", "db.statement": command}, "CLIENT", command)


def message(destination: str) -> SpanFacts:
    return facts({"messaging.system": "kafka", "messaging.destination.name": destination}, "CONSUMER")


def mobile(what: str, name: str) -> SpanFacts:
    return facts({"mita.operation.kind": f"mobile_{what}", "mita.operation": name})


CONNECT = facts({"db.client.connection.pool.name": "QueuePool"}, "CLIENT", "connect")

TABLES = """
[thresholds.database]
payments.SELECT = 100
"ledger.Entries" = { SELECT = 150, INSERT = "off" }

[thresholds.outgoing.hosts]
"API.example.com" = 800

[thresholds.cache.operations]
GET = 20

[thresholds.consumer.destinations]
"payments.settled" = 1000

[thresholds.mobile]
screens = { Transactions = 800 }
requests = { fetchBalance = 300 }
operations = { budget = 900 }
"""


@pytest.mark.parametrize(
    ("span", "rule", "limit_ms"),
    [
        (statement("SELECT 1", "payments"), "database.payments.SELECT", 100),
        (statement("SELECT 1", "Payments"), "database.payments.SELECT", 100),
        (statement("SELECT 1", "bank.payments"), "database.payments.SELECT", 100),
        (statement("SELECT 1", "payments_archive"), "database.SELECT", 200),
        (statement("UPDATE payments SET a = 1", "payments"), "database.UPDATE", 400),
        (statement("SELECT 1", "ledger.entries"), "database.ledger.Entries.SELECT", 150),
        (statement("INSERT INTO x", "ledger.entries"), "database.ledger.Entries.INSERT", None),
        (statement("SELECT 1", "entries"), "database.SELECT", 200),
        (statement("SELECT 1"), "database.SELECT", 200),
        (outgoing("https://api.example.com/v1/charges?x=1"), "outgoing.hosts.api.example.com", 800),
        (outgoing("https://u:p@api.example.com:8443/"), "outgoing.hosts.api.example.com", 800),
        (
            outgoing("http://x/", **{"server.address": "API.EXAMPLE.COM"}),
            "outgoing.hosts.api.example.com",
            800,
        ),
        (outgoing("https://other.example.com/"), "outgoing.default", 2000),
        (redis("get a-key"), "cache.operations.GET", 20),
        (redis("HGETALL ?"), "cache.default", 50),
        (message("payments.settled"), "consumer.destinations.payments.settled", 1000),
        (message("other"), "consumer.default", 5000),
        (mobile("screen", "Transactions"), "mobile.screens.Transactions", 800),
        (mobile("screen", "Home"), "mobile.screen", 1000),
        (mobile("request", "fetchBalance"), "mobile.requests.fetchBalance", 300),
        (mobile("request", "other"), "mobile.request", 2000),
        (mobile("operation", "budget"), "mobile.operations.budget", 900),
        (mobile("operation", "other"), "mobile.operation", 1500),
        (CONNECT, "checkout.limit", 100),
    ],
)
def test_the_most_specific_rule_of_each_kind_applies(
    tmp_path: Any, span: SpanFacts, rule: str, limit_ms: float | None
) -> None:
    found = book(tmp_path, TABLES).rule_for(span)
    assert found is not None
    assert (found.name, found.limit_ms) == (rule, limit_ms)


def test_an_environment_overlay_can_set_table_limits(tmp_path: Any) -> None:
    file = tmp_path / "p.toml"
    file.write_text(
        "[thresholds.database]\npayments.SELECT = 100\n[environments.staging.thresholds.database]\npayments.SELECT = 180\n"
    )
    staging = LimitBook(load_policy(file, environment="staging", env={}).thresholds)
    found = staging.rule_for(statement("SELECT 1", "payments"))
    assert found is not None and found.limit_ms == 180


def test_a_variable_sets_the_limit_of_a_table() -> None:
    policy = load_policy(env={"MITA_OTEL_THRESHOLDS__DATABASE__PAYMENTS__SELECT": "90"})
    found = LimitBook(policy.thresholds).rule_for(statement("SELECT 1", "payments"))
    assert found is not None and found.limit_ms == 90


PAYMENT = {
    "http.request.method": "POST",
    "http.route": "/api/payments",
    "mita.operation": "payment_processing",
}


@pytest.mark.parametrize(
    ("duration_ms", "broken"),
    [
        (999, []),
        (1001, ["api.methods.POST"]),
        (1201, ["api.methods.POST", "financial.payment_processing"]),
    ],
)
def test_a_request_that_is_a_financial_operation_has_both_limits(
    duration_ms: float, broken: list[str]
) -> None:
    verdict = LimitBook(default_policy().thresholds).verdict(facts(PAYMENT, "SERVER", "x", duration_ms))
    assert [rule.name for rule in verdict.rules] == ["api.methods.POST", "financial.payment_processing"]
    assert [breach.rule for breach in verdict.breaches] == broken
    assert {breach.kind for breach in verdict.breaches} <= {"api"}


def test_a_query_in_an_operation_has_the_database_limit_only() -> None:
    query = facts({"db.system": "x", "db.statement": "SELECT 1", "mita.operation": "payment_processing"})
    assert [rule.name for rule in LimitBook(default_policy().thresholds).rules_for(query)] == [
        "database.SELECT"
    ]


class Usual:
    """A usual duration, and the operations that were requested."""

    def __init__(self, answer: float | None) -> None:
        self.answer = answer
        self.asked: list[tuple[Operation, float]] = []

    def percentile_ms(self, operation: Operation, percentile: float) -> float | None:
        self.asked.append((operation, percentile))
        return self.answer


ADAPTIVE = """
[thresholds.api.methods]
GET = { follow = "p99 * 1.5", floor_ms = 100, ceiling_ms = 2000 }
"""


@pytest.mark.parametrize(
    ("usual_ms", "limit_ms"), [(200, 300), (10, 100), (5000, 2000), (None, 2000), (0, 100)]
)
def test_an_adaptive_limit_follows_usual_durations_between_its_bounds(
    tmp_path: Any, usual_ms: float | None, limit_ms: float
) -> None:
    usual = Usual(usual_ms)
    limits = book(tmp_path, ADAPTIVE, usual)
    request = facts({"http.request.method": "GET", "http.route": "/api/notes"}, "SERVER")
    found = limits.rule_for(request)
    assert found is not None
    assert (found.name, found.limit_ms) == ("api.methods.GET", limit_ms)
    assert usual.asked == [(Operation("api", "GET /api/notes"), 99.0)]


def test_without_measurements_the_ceiling_is_the_limit(tmp_path: Any) -> None:
    request = facts({"http.request.method": "GET", "http.route": "/api/notes"}, "SERVER", "x", 1999)
    limits = book(tmp_path, ADAPTIVE)
    assert limits.judge(request) is None
    breach = limits.judge(facts(dict(request.attributes), "SERVER", "x", 2001))
    assert breach is not None and breach.limit_ms == 2000


def test_an_exported_policy_converts_back_equal(tmp_path: Any) -> None:
    file = tmp_path / "p.toml"
    file.write_text(ADAPTIVE + TABLES)
    policy = load_policy(file, env={}).thresholds
    assert convert(ThresholdPolicy, policy.to_dict()) == policy


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        (facts({"http.request.method": "get", "http.route": "/a/{id}"}, "SERVER"), "GET /a/{id}"),
        (facts({"http.request.method": "GET", "url.path": "/a/4111"}, "SERVER"), "GET (no route)"),
        (facts({"http.request.method": "X4111", "http.route": "/a"}, "SERVER"), "_OTHER /a"),
        (statement("select 1", "payments"), "SELECT payments"),
        (statement("select 1"), "SELECT"),
        (outgoing("https://u:p@api.example.com/4111"), "GET api.example.com"),
        (redis("get 4111"), "GET"),
        (message("payments"), "payments"),
        (CONNECT, "QueuePool"),
        (facts({"mita.operation": "payment_processing"}), "payment_processing"),
        (facts({"mita.operation.kind": "financial", "mita.operation.category": "budget"}), "budget"),
        (facts({}, name="BackgroundTask send_mail"), "BackgroundTask send_mail"),
        (facts({"code.function.name": "a.send"}, name="fastapi.background_task"), "a.send"),
        (mobile("screen", "Home"), "Home"),
    ],
)
def test_a_span_belongs_to_the_operation_of_its_kind_and_name(span: SpanFacts, expected: str) -> None:
    operation = operation_of(span)
    assert operation is not None
    assert (operation.kind, operation.name) == (span.kind, expected)


def test_a_span_without_a_kind_is_not_an_operation() -> None:
    assert operation_of(facts({}, name="fastapi.endpoint")) is None
