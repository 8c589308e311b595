"""Each kind of span is recorded in the metric of OpenTelemetry's conventions, with its attributes."""

from __future__ import annotations

from typing import Any

import pytest

from mita_otel.latency.facts import SpanFacts
from mita_otel.latency.measures import measure_of
from mita_otel.latency.operations import OTHER, Operation, operation_of


def facts(attributes: dict[str, Any], span_kind: str = "INTERNAL", name: str = "x") -> SpanFacts:
    return SpanFacts(name, span_kind, 10, attributes)


REQUEST = {
    "http.request.method": "GET",
    "http.route": "/a/{id}",
    "url.scheme": "https",
    "url.path": "/a/4111111111111111",
    "http.response.status_code": 200,
}

CASES: list[tuple[SpanFacts, str, dict[str, Any]]] = [
    (
        facts(REQUEST, "SERVER"),
        "http.server.request.duration",
        {
            "http.request.method": "GET",
            "url.scheme": "https",
            "http.route": "/a/{id}",
            "http.response.status_code": 200,
        },
    ),
    (
        facts({"http.method": "BREW", "http.target": "/x"}, "SERVER"),
        "http.server.request.duration",
        {"http.request.method": "_OTHER"},
    ),
    (
        facts({"http.request.method": "POST", "url.full": "https://u:p@bank.example:8443/pay?x=1"}, "CLIENT"),
        "http.client.request.duration",
        {"http.request.method": "POST", "server.address": "bank.example"},
    ),
    (
        facts(
            {
                "db.system.name": "postgresql",
                "db.query.text": "SELECT 1",
                "db.collection.name": "payments",
            }
        ),
        "db.client.operation.duration",
        {
            "db.system.name": "postgresql",
            "db.operation.name": "SELECT",
            "db.collection.name": "payments",
        },
    ),
    (
        facts({"db.system": "redis", "db.statement": "GET session:4111"}, "CLIENT"),
        "db.client.operation.duration",
        {"db.system.name": "redis", "db.operation.name": "GET"},
    ),
    (
        facts({"db.client.connection.pool.name": "QueuePool"}, "CLIENT", "connect"),
        "db.client.connection.wait_time",
        {"db.client.connection.pool.name": "QueuePool"},
    ),
    (
        facts({"messaging.system": "kafka", "messaging.destination.name": "payments"}, "CONSUMER"),
        "messaging.process.duration",
        {"messaging.system": "kafka", "messaging.destination.name": "payments"},
    ),
    (
        facts({"mita.operation": "payment_processing", "mita.operation.category": "payments"}),
        "mita.operation.duration",
        {
            "mita.operation": "payment_processing",
            "mita.operation.category": "payments",
            "mita.operation.kind": "financial",
        },
    ),
    (
        facts({}, name="BackgroundTask mail"),
        "mita.operation.duration",
        {"mita.operation": "BackgroundTask mail", "mita.operation.kind": "background"},
    ),
]


@pytest.mark.parametrize(("span", "metric", "attributes"), CASES)
def test_each_kind_has_its_metric_and_attributes(
    span: SpanFacts, metric: str, attributes: dict[str, Any]
) -> None:
    operation = operation_of(span)
    assert operation is not None
    measure = measure_of(span, operation, failed=False)
    assert (measure.metric, measure.attributes) == (metric, attributes)


@pytest.mark.parametrize(
    ("attributes", "expected"), [({}, "_OTHER"), ({"error.type": "ValueError"}, "ValueError")]
)
def test_a_failure_has_an_error_type(attributes: dict[str, Any], expected: str) -> None:
    span = facts({**REQUEST, **attributes}, "SERVER")
    assert measure_of(span, Operation("api", "x"), failed=True).attributes["error.type"] == expected


@pytest.mark.parametrize("span", [case[0] for case in CASES if case[1] != "mita.operation.duration"])
def test_operations_above_the_bound_have_no_name_attributes(span: SpanFacts) -> None:
    assert span.kind is not None
    measure = measure_of(span, Operation(span.kind, OTHER), failed=False)
    names = {"http.route", "server.address", "db.collection.name", "messaging.destination.name"}
    assert names.isdisjoint(measure.attributes)
