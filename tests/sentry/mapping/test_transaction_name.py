"""The number of transaction names is bounded; the description can still show a statement or URL."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.trace import SpanKind

from mita_otel.sentry.mapping.span_tree import Tree
from mita_otel.sentry.mapping.streamed_spans import SpanSegment
from mita_otel.sentry.mapping.transaction import transaction_event
from mita_otel.sentry.mapping.transaction_name import transaction_name
from mita_otel.sentry.transport.sender_identity import Identity
from sentry.spans import make

S, C, I, Q = SpanKind.SERVER, SpanKind.CLIENT, SpanKind.INTERNAL, SpanKind.CONSUMER  # noqa: E741
SQL = "SELECT id, cents FROM payments WHERE owner = ? AND id IN (?, ?, ?)"
KAFKA = {"messaging.system": "kafka"}

TABLE: dict[str, tuple[SpanKind, dict[str, Any], tuple[str, str]]] = {
    "route": (S, {"http.request.method": "GET", "http.route": "/a/{id}"}, ("GET /a/{id}", "route")),
    "no route": (S, {"http.request.method": "GET", "url.path": "/a/77/b"}, ("GET /a/{id}/b", "url")),
    "internal with a URL": (I, {"http.method": "GET", "http.url": "https://x.example/ada/7?b=1"}, ("GET x.example", "route")),
    "internal, stable": (I, {"http.request.method": "POST", "url.full": "https://x.example:8443/ada/7"}, ("POST x.example", "route")),
    "internal with a path": (I, {"http.request.method": "GET", "url.path": "/ada/7"}, ("GET (no route)", "url")),
    "client": (C, {"http.request.method": "GET", "url.full": "https://x.example/ada"}, ("GET x.example", "route")),
    "client with a template": (C, {"http.request.method": "GET", "url.full": "https://x/7", "url.template": "/{id}"}, ("GET /{id}", "route")),
    "statement": (C, {"db.system.name": "postgresql", "db.query.text": SQL}, ("SELECT payments", "task")),
    "statement, old": (C, {"db.system": "mysql", "db.statement": "CREATE TABLE cards (id int)"}, ("CREATE cards", "task")),
    "statement without a table": (C, {"db.system.name": "sqlite", "db.query.text": "PRAGMA table_info(?)", "db.namespace": "/data/bank.db"}, ("PRAGMA bank.db", "task")),
    "summary": (C, {"db.system.name": "postgresql", "db.query.text": SQL, "db.query.summary": "SELECT payments"}, ("SELECT payments", "task")),
    "redis": (C, {"db.system": "redis", "db.statement": "GET session:77"}, ("GET", "task")),
    "document store": (C, {"db.system": "mongodb", "db.operation.name": "find", "db.collection.name": "cards"}, ("the name", "task")),
    "cache": (C, {"cache.operation": "get", "cache.key": "session:77"}, ("get", "task")),
    "consumer": (Q, {**KAFKA, "messaging.destination.name": "payments"}, ("process payments", "task")),
    "receive": (Q, {**KAFKA, "messaging.operation.type": "receive", "messaging.destination.name": "payments"}, ("receive payments", "task")),
    "temporary queue": (Q, {"messaging.system": "rabbitmq", "messaging.destination.name": "amq.gen-Xa2mUf9VhQ2b"}, ("process (temporary)", "task")),
    "queue of one user": (Q, {**KAFKA, "messaging.destination.name": "user-7"}, ("process user-{id}", "task")),
    "task": (Q, {"messaging.system": "celery", "celery.task_name": "bank.settle", "messaging.destination.name": "q7"}, ("bank.settle", "task")),
    "rpc": (S, {"rpc.system": "grpc", "rpc.service": "bank.Ledger", "rpc.method": "Post"}, ("bank.Ledger/Post", "route")),
    "websocket": (S, {"network.protocol.name": "websocket", "url.path": "/ws/77"}, ("websocket (no route)", "custom")),
    "websocket with a route": (S, {"network.protocol.name": "websocket", "http.route": "/ws/{id}"}, ("websocket /ws/{id}", "route")),
    "graphql": (I, {"graphql.operation.type": "query", "graphql.operation.name": "Card77_91"}, ("query Card77_91", "component")),
    "graphql over http": (S, {"http.request.method": "POST", "http.route": "/g", "graphql.operation.name": "a-77"}, ("POST /g (a-{id})", "route")),
    "the application's": (I, {}, ("the name", "custom")),
    "source custom": (S, {"http.request.method": "GET", "http.route": "/a", "sentry.source": "custom"}, ("the name", "custom")),
    "own description is no name": (S, {"http.request.method": "GET", "http.route": "/a", "sentry.description": "card 7"}, ("GET /a", "route")),
    "mcp": (S, {"mcp.method.name": "tools/call", "gen_ai.tool.name": "lookup"}, ("tools/call lookup", "route")),
    "set by the service": (C, {"db.system.name": "postgresql", "db.query.text": SQL, "sentry.custom_span_name": "load 7"}, ("load 7", "task")),
}  # fmt: skip


@pytest.mark.parametrize(("kind", "attributes", "expected"), TABLE.values(), ids=TABLE.keys())
def test_the_transaction_name_follows_from_the_root_span(
    kind: SpanKind, attributes: dict[str, Any], expected: tuple[str, str]
) -> None:
    assert transaction_name(make(1, name="the name", kind=kind, attributes=attributes)) == expected


def test_a_statement_outside_a_request_is_grouped_and_shown() -> None:
    root = make(
        1, name="SELECT payments", kind=C, attributes={"db.system.name": "sqlite", "db.query.text": SQL}
    )
    event = transaction_event(Tree(root), Identity(), ())
    assert event["transaction"] == "SELECT payments"
    assert event["contexts"]["trace"]["data"]["db.query.text"] == SQL
    assert SpanSegment(Tree(root), Identity(), ()).name == "SELECT payments"
