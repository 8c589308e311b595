"""Op, description and source of each kind of span in Sentry."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.trace import SpanKind

from mita_otel.sentry import SpanDescription, describe
from sentry.spans import make

S, C, I, P, Q = SpanKind.SERVER, SpanKind.CLIENT, SpanKind.INTERNAL, SpanKind.PRODUCER, SpanKind.CONSUMER  # noqa: E741

TABLE: dict[str, tuple[SpanKind, dict[str, Any], tuple[str, str, str]]] = {
    # --- HTTP servers
    "route, stable": (S, {"http.request.method": "GET", "http.route": "/a/{id}", "url.path": "/a/7"}, ("http.server", "GET /a/{id}", "route")),
    "route, old": (S, {"http.method": "POST", "http.route": "/a", "http.target": "/a?x=1"}, ("http.server", "POST /a", "route")),
    "no route": (S, {"http.request.method": "GET", "url.path": "/wp-admin"}, ("http.server", "GET /wp-admin", "url")),
    "no route, old, with a query": (S, {"http.method": "GET", "http.target": "/a?b=c#d"}, ("http.server", "GET /a", "url")),
    "root path": (S, {"http.request.method": "GET", "url.path": "/"}, ("http.server", "GET /", "route")),
    "unknown method": (S, {"http.request.method": "_OTHER", "http.route": "/a"}, ("http.server", "HTTP /a", "route")),
    "neither route nor path": (S, {"http.request.method": "GET"}, ("http.server", "the name", "custom")),
    "graphql over http": (S, {"http.request.method": "POST", "http.route": "/graphql", "graphql.operation.name": "Pay"}, ("http.server", "POST /graphql (Pay)", "route")),
    # --- HTTP clients
    "client, stable": (C, {"http.request.method": "GET", "url.full": "https://x.example/a?b=1#c"}, ("http.client", "GET https://x.example/a", "url")),
    "client, old": (C, {"http.method": "GET", "http.url": "https://x.example/a?b=1"}, ("http.client", "GET https://x.example/a", "url")),
    "client with a template": (C, {"http.request.method": "GET", "url.full": "https://x.example/a/7", "url.template": "/a/{id}"}, ("http.client", "GET /a/{id}", "route")),
    "client with a path only": (C, {"http.method": "GET", "http.target": "/a?b"}, ("http.client", "GET /a", "url")),
    "internal": (I, {"http.request.method": "GET", "url.path": "/a"}, ("http", "GET /a", "url")),
    # --- websockets
    "websocket": (S, {"network.protocol.name": "websocket", "http.route": "/ws"}, ("websocket.server", "the name", "route")),
    "websocket, contrib": (S, {"http.scheme": "wss", "http.url": "wss://x/ws"}, ("websocket.server", "the name", "custom")),
    "websocket client": (C, {"url.scheme": "ws"}, ("websocket.client", "the name", "custom")),
    # --- databases
    "query, stable": (C, {"db.system.name": "postgresql", "db.query.text": "SELECT 1"}, ("db", "SELECT 1", "task")),
    "query, old": (C, {"db.system": "mysql", "db.statement": "SELECT 1"}, ("db", "SELECT 1", "task")),
    "query summary": (C, {"db.system.name": "postgresql", "db.query.summary": "SELECT accounts"}, ("db", "SELECT accounts", "task")),
    "no statement": (C, {"db.system.name": "mongodb"}, ("db", "the name", "task")),
    "redis": (C, {"db.system": "redis", "db.statement": "GET ?"}, ("db.redis", "GET ?", "task")),
    # --- caches
    "cache hit": (C, {"cache.hit": True, "cache.key": ["a", "b"]}, ("cache.get", "a, b", "task")),
    "cache put": (C, {"cache.operation": "set", "cache.key": "k"}, ("cache.put", "k", "task")),
    "cache remove": (C, {"cache.operation": "delete", "cache.key": "k"}, ("cache.remove", "k", "task")),
    "cache before its database": (C, {"cache.operation": "get", "cache.key": "k", "db.system": "redis"}, ("cache.get", "k", "task")),
    "cache, other": (C, {"cache.operation": "flush"}, ("cache", "the name", "task")),
    # --- RPC
    "grpc server": (S, {"rpc.system": "grpc", "rpc.service": "Ledger"}, ("grpc.server", "the name", "route")),
    "grpc client, stable": (C, {"rpc.system.name": "grpc"}, ("grpc.client", "the name", "route")),
    "other rpc": (C, {"rpc.service": "Ledger"}, ("rpc.client", "the name", "route")),
    # --- messaging
    "publish by kind": (P, {"messaging.system": "kafka", "messaging.destination.name": "orders"}, ("queue.publish", "orders", "task")),
    "process by kind": (Q, {"messaging.system": "kafka"}, ("queue.process", "the name", "task")),
    "receive": (Q, {"messaging.system": "kafka", "messaging.operation.type": "receive", "messaging.destination.name": "o"}, ("queue.receive", "o", "task")),
    "publish, old": (C, {"messaging.system": "rabbitmq", "messaging.operation": "publish", "messaging.destination": "o"}, ("queue.publish", "o", "task")),
    "create": (P, {"messaging.system": "kafka", "messaging.operation.type": "create"}, ("queue.create", "the name", "task")),
    "settle": (C, {"messaging.system": "sqs", "messaging.operation.type": "settle"}, ("queue.settle", "the name", "task")),
    "destination's template": (P, {"messaging.system": "k", "messaging.destination.name": "user-7", "messaging.destination.template": "user-{id}"}, ("queue.publish", "user-{id}", "task")),
    # --- functions, GraphQL, generative AI
    "lambda": (S, {"faas.trigger": "timer", "cloud.provider": "aws"}, ("function.aws", "the name", "task")),
    "calls a function": (C, {"faas.invoked_name": "f", "faas.invoked_provider": "gcp"}, ("function.gcp", "the name", "task")),
    "some function": (S, {"faas.trigger": "other"}, ("function", "the name", "task")),
    "graphql": (I, {"graphql.operation.type": "mutation", "graphql.operation.name": "Pay"}, ("graphql.mutation", "mutation Pay", "component")),
    "graphql without a name": (I, {"graphql.operation.type": "query"}, ("graphql.query", "the name", "component")),
    "chat": (C, {"gen_ai.operation.name": "chat", "gen_ai.system": "x"}, ("gen_ai.chat", "the name", "custom")),
    "completion": (C, {"gen_ai.operation.name": "text_completion"}, ("gen_ai.chat", "the name", "custom")),
    "chat over HTTP": (C, {"gen_ai.operation.name": "chat", "http.request.method": "POST", "url.full": "https://x/v1"}, ("gen_ai.chat", "the name", "custom")),
    "agent": (I, {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "clerk"}, ("gen_ai.invoke_agent", "the name", "custom")),
    "tool": (I, {"gen_ai.tool.name": "lookup"}, ("gen_ai.execute_tool", "the name", "custom")),
    "model without an operation": (C, {"gen_ai.system": "x", "gen_ai.request.model": "m"}, ("gen_ai.chat", "the name", "custom")),
    "embedding of OpenLLMetry": (C, {"llm.request.type": "embedding"}, ("gen_ai.embeddings", "the name", "custom")),
    "agent of OpenInference": (I, {"openinference.span.kind": "AGENT"}, ("gen_ai.invoke_agent", "the name", "custom")),
    "graphql in capitals": (I, {"graphql.operation.type": "QUERY"}, ("graphql.query", "the name", "component")),
    "graphql field": (I, {"graphql.field.path": "card.owner"}, ("graphql.resolve", "the name", "component")),
    "mcp tool": (S, {"mcp.method.name": "tools/call", "gen_ai.tool.name": "lookup", "rpc.system": "jsonrpc"}, ("mcp.server", "tools/call lookup", "route")),
    "mcp tool with its operation": (S, {"mcp.method.name": "tools/call", "mcp.tool.name": "lookup", "gen_ai.operation.name": "execute_tool"}, ("mcp.server", "tools/call lookup", "route")),
    "mcp over http": (S, {"mcp.method.name": "initialize", "http.request.method": "POST", "http.route": "/mcp"}, ("mcp.server", "initialize", "route")),
    "mcp client": (C, {"mcp.method.name": "resources/read", "mcp.resource.uri": "file:///7"}, ("mcp.client", "resources/read", "route")),
    "mcp notification": (S, {"mcp.method.name": "notifications/cancelled"}, ("mcp.notification.client_to_server", "notifications/cancelled", "route")),
    # --- mita-otel
    "financial operation": (I, {"mita.operation": "payment_processing"}, ("financial.operation", "the name", "custom")),
    "operation before its protocol attributes": (S, {"mita.operation": "x", "http.request.method": "GET", "http.route": "/a"}, ("financial.operation", "the name", "custom")),
    "background task": (I, {"mita.operation": "x", "mita.operation.kind": "background"}, ("task", "the name", "task")),
    # --- anything else
    "server": (S, {}, ("server", "the name", "route")),
    "consumer": (Q, {}, ("queue.process", "the name", "task")),
    "producer": (P, {}, ("queue.publish", "the name", "task")),
    "internal, nothing known": (I, {}, ("function", "the name", "custom")),
    # --- set by the service
    "set by the service": (I, {"sentry.op": "ledger.close", "sentry.custom_span_name": "Close", "sentry.source": "task"}, ("ledger.close", "Close", "task")),
    "source custom": (S, {"http.request.method": "GET", "http.route": "/a", "sentry.source": "custom"}, ("http.server", "the name", "custom")),
    "own description": (C, {"db.system.name": "postgresql", "db.query.text": "SELECT 1", "sentry.description": "load cards"}, ("db", "load cards", "task")),
    "own name before the description": (I, {"sentry.custom_span_name": "Close", "sentry.description": "close 7"}, ("function", "Close", "custom")),
    "set by the service, over HTTP": (S, {"http.request.method": "GET", "http.route": "/a", "sentry.op": "rpc"}, ("rpc", "GET /a", "route")),
}  # fmt: skip


@pytest.mark.parametrize(("kind", "attributes", "expected"), TABLE.values(), ids=TABLE.keys())
def test_each_kind_of_span_has_op_description_and_source(
    kind: SpanKind, attributes: dict[str, Any], expected: tuple[str, str, str]
) -> None:
    said = describe(make(1, name="the name", kind=kind, attributes=attributes))
    assert (said.op, said.description, said.source) == expected
    assert isinstance(said, SpanDescription)


NAMED = {
    "fastapi.endpoint": ("handler", "app.pay"),
    "fastapi.dependencies": ("middleware", "app.pay"),
    "fastapi.serialization": ("serialize", "app.pay"),
    "fastapi.background_task": ("task", "app.pay"),
    "BackgroundTask recount": ("task", "BackgroundTask recount"),
    "graphql.validate": ("graphql.validate", "graphql.validate"),
}


@pytest.mark.parametrize(("name", "expected"), NAMED.items(), ids=NAMED.keys())
def test_internal_spans_of_frameworks_have_op_and_description(name: str, expected: tuple[str, str]) -> None:
    said = describe(make(1, 2, name=name, attributes={"code.function.name": "app.pay"}))
    assert (said.op, said.description) == expected


@pytest.mark.parametrize("value", [None, 5, True, ["a"], {"a": 1}, b"x"])
@pytest.mark.parametrize(
    "name", ["http.request.method", "db.system.name", "db.query.text", "http.route", "cache.key"]
)
def test_values_of_the_wrong_type_are_shown_as_text(name: str, value: Any) -> None:
    said = describe(make(1, attributes={"db.system.name": "x", "http.request.method": "GET", name: value}))
    assert all(isinstance(part, str) for part in (said.op, said.description, said.source, said.status))
