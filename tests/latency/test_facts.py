"""Attributes of a span, stable or old, determine its kind of limit."""

from __future__ import annotations

from typing import Any

import pytest

from mita_otel.latency.facts import SpanFacts

OLD = {"http.method": "GET", "http.target": "/a/1?card=2", "http.url": "http://h/a/1?card=2"}
NEW = {"http.request.method": "GET", "url.path": "/a/1", "url.query": "card=2"}
DB_OLD = {"db.system": "postgresql", "db.statement": "SELECT 1", "db.operation": "SELECT bank"}
DB_NEW = {"db.system.name": "postgresql", "db.query.text": "SELECT 1"}


def facts(
    attributes: dict[str, Any], span_kind: str = "INTERNAL", name: str = "x", duration_ms: float = 1.0
) -> SpanFacts:
    return SpanFacts(name, span_kind, duration_ms, attributes)


@pytest.mark.parametrize(
    ("span_kind", "name", "attributes", "expected"),
    [
        ("SERVER", "GET /a", OLD, "api"),
        ("SERVER", "GET /a", NEW, "api"),
        ("SERVER", "/ws", {"http.route": "/ws", "url.scheme": "ws"}, None),
        ("SERVER", "/ws", {"http.scheme": "ws", "http.target": "/ws"}, None),
        ("SERVER", "Greeter/Hello", {"rpc.system": "grpc"}, None),
        ("INTERNAL", "GET /a http send", {"asgi.event.type": "http.response.body"}, None),
        ("CLIENT", "SELECT bank", DB_OLD, "database"),
        ("CLIENT", "SELECT bank", DB_NEW, "database"),
        ("INTERNAL", "SELECT bank", DB_NEW, "database"),
        ("CLIENT", "connect", {"db.system": "sqlite"}, "checkout"),
        ("CLIENT", "connect", {"db.client.connection.pool.name": "QueuePool"}, "checkout"),
        ("CLIENT", "GET", {"db.system": "redis", "db.statement": "GET ?"}, "cache"),
        ("CLIENT", "HGETALL", {"db.system.name": "valkey", "db.operation.name": "HGETALL"}, "cache"),
        ("CLIENT", "x", {"db.system": "mongodb", "db.operation": "find"}, None),
        ("CLIENT", "GET", OLD, "outgoing"),
        ("CLIENT", "GET", {**NEW, "mita.operation": "payment_processing"}, "outgoing"),
        ("CLIENT", "grpc/Call", {"rpc.system": "grpc"}, None),
        ("INTERNAL", "GET", NEW, None),
        ("CONSUMER", "payments process", {"messaging.system": "kafka"}, "consumer"),
        ("CONSUMER", "payments receive", {"messaging.operation.type": "receive"}, None),
        ("CONSUMER", "payments receive", {"messaging.operation": "poll"}, None),
        ("PRODUCER", "payments send", {"messaging.system": "kafka"}, None),
        (
            "INTERNAL",
            "Home",
            {"mita.operation.kind": "mobile_screen", "mita.operation": "Home"},
            "mobile_screen",
        ),
        ("SERVER", "x", {"mita.operation.kind": "mobile_request"}, "mobile_request"),
        ("INTERNAL", "load", {"mita.operation.kind": "database", "mita.operation": "load"}, "database"),
        ("INTERNAL", "x", {"mita.operation.kind": "api", **NEW}, "api"),
        ("INTERNAL", "x", {"mita.operation.kind": "something"}, "financial"),
        ("CLIENT", "SELECT", {"mita.operation": "payment_processing", **DB_NEW}, "database"),
        ("CLIENT", "BEGIN", {"db.system": "sqlite", "db.statement": "BEGIN"}, "database"),
        ("INTERNAL", "pay", {"mita.operation": "payment_processing"}, "financial"),
        ("CONSUMER", "pay", {"mita.operation": "payment_processing"}, "financial"),
        ("SERVER", "pay", {"mita.operation": "payment_processing", **NEW}, "api"),
        ("SERVER", "pay", {"mita.operation": "payment_processing"}, "financial"),
        ("INTERNAL", "x", {"mita.operation.kind": "financial"}, "financial"),
        ("INTERNAL", "x", {"mita.operation.kind": "background"}, "background"),
        ("INTERNAL", "x", {"mita.operation": "close_day", "mita.operation.kind": "background"}, "background"),
        ("INTERNAL", "BackgroundTask send_mail", {}, "background"),
        ("INTERNAL", "fastapi.background_task", {"code.function.name": "a.b"}, "background"),
        ("INTERNAL", "fastapi.endpoint", {}, None),
        ("INTERNAL", "BackgroundTasks", {}, None),
        ("INTERNAL", "anything", {}, None),
    ],
)
def test_attributes_and_span_kind_determine_the_kind(
    span_kind: str, name: str, attributes: dict[str, Any], expected: str | None
) -> None:
    assert facts(attributes, span_kind, name).kind == expected


@pytest.mark.parametrize("attributes", [OLD, NEW, {"http.url": "http://h/a/1?card=2"}])
def test_the_path_has_no_query_and_no_host(attributes: dict[str, Any]) -> None:
    assert facts(attributes, "SERVER").path == "/a/1"


def test_stable_attributes_take_precedence_over_old_ones() -> None:
    both = {"http.method": "get", "http.request.method": "post", "http.route": "/a/{id}"}
    assert facts(both, "SERVER").method == "POST"
    assert facts(both, "SERVER").route == "/a/{id}"


def test_empty_attributes_are_ignored() -> None:
    empty = facts({"http.request.method": "", "http.route": "", "mita.operation": ""}, "SERVER")
    assert (empty.method, empty.route, empty.operation, empty.category) == (None, None, None, None)


@pytest.mark.parametrize(
    ("attributes", "table"),
    [
        ({"db.system": "sqlite", "db.statement": "SELECT 1 FROM payments"}, "payments"),
        ({"db.system": "sqlite", "db.statement": "SELECT 'FROM secrets' FROM payments"}, "payments"),
        ({"db.system": "sqlite", "db.statement": "SELECT 1 FROM a", "db.sql.table": "ledger.a"}, "ledger.a"),
        ({"db.system": "redis", "db.statement": "SET FROM payments"}, None),
        ({"db.system": "sqlite", "db.statement": "SELECT 1"}, None),
    ],
)
def test_the_table_comes_from_the_attribute_or_the_statement(
    attributes: dict[str, Any], table: str | None
) -> None:
    assert facts(attributes, "CLIENT").table == table


@pytest.mark.parametrize(
    ("template", "route"),
    [
        ("/api/accounts/{id}", "/api/accounts/{id}"),
        ("/api/accounts/<int:id>", "/api/accounts/<int:id>"),
        ("api/accounts/<int:id>", "/api/accounts/<int:id>"),
        ("^api/accounts/(?P<id>[0-9]+)$", "/api/accounts/(?P<id>[0-9]+)$"),
        ("", None),
        (None, None),
    ],
)
def test_a_route_starts_with_a_slash(template: str | None, route: str | None) -> None:
    assert facts({**OLD, "http.route": template}, "SERVER").route == route
