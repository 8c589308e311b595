"""Names spans of GraphQL, generative AI and MCP by Sentry's conventions: pure functions of name, kind and attributes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from opentelemetry.trace import SpanKind

from mita_otel import semconv

Attributes = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class SpanNaming:
    """Operation, description and source that one rule returns."""

    op: str
    description: str
    source: str


_GRAPHQL_PHASES: Final = {
    **{f"graphql.{phase}": f"graphql.{phase}" for phase in ("parse", "validate", "execute", "resolve")},
    "GraphQL Parsing": "graphql.parse",
    "GraphQL Validation": "graphql.validate",
}
"""Operations by the names that instrumentations give to the phases of a GraphQL operation."""
_GRAPHQL_NAME: Final = re.compile(r"GraphQL (Query|Mutation|Subscription|Resolving)\b")
_GRAPHQL_TYPES: Final = frozenset({"query", "mutation", "subscription"})


def graphql(name: str, kind: SpanKind, attributes: Attributes) -> SpanNaming | None:
    """Return the naming of a GraphQL operation, its phases and its fields; None for other spans."""
    operation = str(attributes.get("graphql.operation.type") or "").lower()
    called = attributes.get("graphql.operation.name")
    phase = _GRAPHQL_PHASES.get(name)
    if phase is not None and phase != "graphql.execute":
        return SpanNaming(phase, name, "component")
    if operation in _GRAPHQL_TYPES:
        return SpanNaming(f"graphql.{operation}", f"{operation} {called}" if called else name, "component")
    if phase is not None:
        return SpanNaming(phase, name, "component")
    named = _GRAPHQL_NAME.match(name) if attributes.get("component") == "graphql" else None
    if named is not None:
        of_name = named.group(1).lower()
        return SpanNaming(f"graphql.{'resolve' if of_name == 'resolving' else of_name}", name, "component")
    if "graphql.field.path" in attributes or "graphql.field.name" in attributes:
        return SpanNaming("graphql.resolve", name, "component")
    return None


_GEN_AI: Final = {"text_completion": "chat", "completion": "chat", "embedding": "embeddings"}
"""Sentry's names of operations that have other names elsewhere."""
_AGENT_KINDS: Final = {
    "llm": "chat",
    "agent": "invoke_agent",
    "tool": "execute_tool",
    "embedding": "embeddings",
    "workflow": "invoke_workflow",
    "chain": "invoke_workflow",
}
"""Operations by the kinds of spans of OpenInference and OpenLLMetry."""


def gen_ai(name: str, kind: SpanKind, attributes: Attributes) -> SpanNaming | None:
    """Return the naming of a model's, an agent's or a tool's call; None for other spans."""
    known = attributes.get("gen_ai.operation.name") or attributes.get("llm.request.type")
    if known is not None:
        operation = str(known)
        return SpanNaming(f"gen_ai.{_GEN_AI.get(operation, operation)}", name, "custom")
    span_kind = attributes.get("openinference.span.kind") or attributes.get("traceloop.span.kind")
    if span_kind is not None and str(span_kind).lower() in _AGENT_KINDS:
        return SpanNaming(f"gen_ai.{_AGENT_KINDS[str(span_kind).lower()]}", name, "custom")
    if "gen_ai.tool.name" in attributes:
        return SpanNaming("gen_ai.execute_tool", name, "custom")
    if "gen_ai.request.model" in attributes:
        return SpanNaming("gen_ai.chat", name, "custom")
    if "gen_ai.agent.name" in attributes:
        return SpanNaming("gen_ai.invoke_agent", name, "custom")
    return None


_MCP_TARGETS: Final = ("gen_ai.tool.name", "mcp.tool.name", "gen_ai.prompt.name", "mcp.prompt.name")


def mcp(name: str, kind: SpanKind, attributes: Attributes) -> SpanNaming | None:
    """Return the naming of a request or notification of the Model Context Protocol; None for other spans."""
    method = attributes.get("mcp.method.name")
    if method is None:
        return None
    target = semconv.first(attributes, _MCP_TARGETS)
    if str(method).startswith("notifications/"):
        to_server = kind in {SpanKind.SERVER, SpanKind.CONSUMER}
        op = f"mcp.notification.{'client_to_server' if to_server else 'server_to_client'}"
    else:
        op = "mcp.client" if kind is SpanKind.CLIENT else "mcp.server"
    return SpanNaming(op, f"{method} {target}" if target else str(method), "route")
