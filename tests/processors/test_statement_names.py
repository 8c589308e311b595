"""Statements that contrib packages measure get the names of statements that mita-otel measures."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from mita_otel.processors.statement_names import StatementNames

CONTRIB = "opentelemetry.instrumentation."
OLD = ("db.system", "db.statement", "db.operation", "db.name")
STABLE = ("db.system.name", "db.query.text", "db.operation.name", "db.namespace")


def renamed(name: str, attributes: dict[str, Any], scope: str = f"{CONTRIB}psycopg") -> ReadableSpan:
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(StatementNames(SimpleSpanProcessor(exporter)))
    provider.get_tracer(scope).start_span(name, attributes=attributes).end()
    [span] = exporter.get_finished_spans()
    return span


@pytest.mark.parametrize("names", [OLD, STABLE], ids=["old names", "stable names"])
@pytest.mark.parametrize(
    ("statement", "name", "operation", "table"),
    [
        ("SELECT id FROM payments", "SELECT payments", "SELECT", "payments"),
        ("SELECT'Hunter2secret' FROM payments", "SELECT payments", "SELECT", "payments"),
        ("(select 1) union (select 2)", "SELECT bank", "SELECT", None),
        ("-- Hunter2secret\nDELETE FROM payments", "DELETE payments", "DELETE", "payments"),
        ("WITH a AS (SELECT 1) UPDATE payments SET id = 1", "UPDATE payments", "UPDATE", "payments"),
        ("'Hunter2secret'", "bank", None, None),
        ("get_balance", "bank", None, None),
    ],
)
def test_the_name_comes_from_the_lexed_statement(
    names: tuple[str, str, str, str], statement: str, name: str, operation: str | None, table: str | None
) -> None:
    system, text, verb, namespace = names
    first = statement.split()[0]
    given = {
        system: "postgresql",
        text: statement,
        verb: f"{first} bank",
        namespace: "/var/bank",
        "net.peer.name": "db",
    }
    span = renamed(f"{first} bank", given)
    assert span.name == name
    expected = {**given, verb: operation, "db.collection.name": table}
    assert span.attributes == {key: value for key, value in expected.items() if value is not None}


def test_an_operation_that_the_package_does_not_name_has_the_stable_name() -> None:
    span = renamed("SELECT", {"db.system": "mysql", "db.statement": "SELECT 1 FROM a", "db.sql.table": "x.a"})
    assert (span.attributes or {})["db.operation.name"] == "SELECT"
    assert "db.collection.name" not in (span.attributes or {})


@pytest.mark.parametrize(
    ("name", "attributes", "scope"),
    [
        ("load customers", {"db.system": "mysql", "db.statement": "SELECT 1 FROM a"}, "bank.customers"),
        ("SET", {"db.system": "redis", "db.statement": "SET ? ?"}, f"{CONTRIB}redis"),
        ("bank.insert", {"db.system": "mongodb", "db.statement": "insert orders"}, f"{CONTRIB}pymongo"),
        ("connect", {"db.system": "sqlite", "db.name": "bank"}, f"{CONTRIB}sqlalchemy"),
        ("GET /a", {"http.method": "GET"}, f"{CONTRIB}flask"),
    ],
)
def test_other_spans_keep_their_names(name: str, attributes: dict[str, Any], scope: str) -> None:
    span = renamed(name, attributes, scope)
    assert (span.name, dict(span.attributes or {})) == (name, attributes)


@pytest.mark.parametrize("scope", ["bank.database", "asyncpg"])
def test_a_span_that_is_named_by_its_statement_gets_a_name_without_literals(scope: str) -> None:
    statement = "SELECT 'a gift from Hunter2secret' FROM payments WHERE id = 4711"
    for name in (statement, statement[:40], f"{statement[:30]}..."):
        span = renamed(name, {"db.system": "postgresql", "db.query.text": statement}, scope)
        assert span.name == "SELECT payments"
    for name in ("SELECT", "load the payments"):
        assert renamed(name, {"db.system": "postgresql", "db.query.text": statement}, scope).name == name
