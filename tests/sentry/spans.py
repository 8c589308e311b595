"""Builds finished spans for tests of the Sentry package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from mita_otel import semconv

START_NS = 1_700_000_000_000_000_000
SERVICE = Resource({"service.name": "payments", "service.version": "1.2.3"})
BREACH = {
    semconv.LATENCY_EXCEEDED: True,
    semconv.LATENCY_RULE: "api.methods.GET",
    semconv.LATENCY_LIMIT_MS: 500,
    semconv.LATENCY_OVERRUN_MS: 20.5,
    semconv.LATENCY_DURATION_MS: 520.5,
    semconv.LATENCY_KIND: "api",
}


def make(
    span_id: int,
    parent: int | None = None,
    *,
    trace_id: int = 1,
    name: str = "work",
    kind: SpanKind = SpanKind.INTERNAL,
    remote: bool = False,
    at_ms: tuple[float, float] = (0, 1),
    attributes: Mapping[str, Any] | None = None,
    events: Sequence[Event] = (),
    links: Sequence[Link] = (),
    status: StatusCode = StatusCode.UNSET,
    description: str | None = None,
    resource: Resource = SERVICE,
    scope: str = "opentelemetry.instrumentation.fastapi",
) -> ReadableSpan:
    """Return a span of the trace, from `at_ms[0]` to `at_ms[1]` milliseconds after START_NS."""
    return ReadableSpan(
        name=name,
        context=SpanContext(trace_id, span_id, False, TraceFlags(1)),
        parent=None if parent is None else SpanContext(trace_id, parent, remote, TraceFlags(1)),
        kind=kind,
        resource=resource,
        attributes=dict(attributes or {}),
        events=tuple(events),
        links=tuple(links),
        status=Status(status, description),
        start_time=START_NS + round(at_ms[0] * 1e6),
        end_time=START_NS + round(at_ms[1] * 1e6),
        instrumentation_scope=InstrumentationScope(scope, "1.0"),
    )


def server(span_id: int = 1, **more: Any) -> ReadableSpan:
    attributes = {
        "http.request.method": "GET",
        "http.route": "/api/accounts/{id}",
        "url.path": "/api/accounts/7",
        "url.scheme": "https",
        "server.address": "bank.example",
        "http.response.status_code": 200,
        **more.pop("attributes", {}),
    }
    return make(span_id, name="GET /api/accounts/{id}", kind=SpanKind.SERVER, attributes=attributes, **more)


def query(span_id: int, parent: int, **more: Any) -> ReadableSpan:
    attributes = {
        "db.system.name": "postgresql",
        "db.query.text": "SELECT 1 FROM accounts",
        "db.operation.name": "SELECT",
        **more.pop("attributes", {}),
    }
    return make(
        span_id,
        parent,
        name="SELECT accounts",
        kind=SpanKind.CLIENT,
        attributes=attributes,
        scope="mita_otel.instrumentation.sqlalchemy",
        **more,
    )
