"""A tree of spans as a Sentry transaction event: pure, and whole.

Source: Sentry's event payloads, transactions and trace context; OpenTelemetry ids are kept as they are.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import uuid4

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode, format_span_id, format_trace_id

from mita_otel import semconv
from mita_otel.sentry.assembler import Tree, is_breached
from mita_otel.sentry.description import describe
from mita_otel.sentry.sender_identity import Identity
from mita_otel.sentry.tags import MAX_TAG, TAG_OF


def transaction_event(tree: Tree, identity: Identity, tags: Sequence[str]) -> dict[str, Any]:
    """Return the transaction event of a tree.

    Args:
        tree: The spans, marked and redacted.
        identity: Environment, release and so on.
        tags: The tags that may be set: the guide's alert rules trigger on them.
    """
    root = tree.root
    description = describe(root)
    spans = [root, *tree.children]
    event: dict[str, Any] = {
        "event_id": uuid4().hex,
        "type": "transaction",
        "platform": "python",
        "transaction": description.description,
        "transaction_info": {"source": description.source},
        "start_timestamp": seconds(root.start_time),
        "timestamp": seconds(root.end_time),
        "contexts": _contexts(tree),
        "spans": [_span(child) for child in tree.children],
        "tags": _tags(tree, spans, tags),
        "measurements": _measurements(spans),
    }
    for name in ("environment", "release", "dist", "server_name", "sdk"):
        value = getattr(identity, name)
        if value:
            event[name] = value
    user_id = (root.attributes or {}).get(semconv.USER_ID)
    if user_id is not None:
        event["user"] = {"id": str(user_id)}
    return event


def seconds(time_ns: int | None) -> float:
    """Return nanoseconds since the epoch as seconds, exact to the microsecond."""
    return round((time_ns or 0) / 1e9, 6)


def _span(span: ReadableSpan) -> dict[str, Any]:
    description = describe(span)
    return {
        **_ids(span),
        "op": description.op,
        "description": description.description,
        "status": description.status,
        "origin": _origin(span),
        "start_timestamp": seconds(span.start_time),
        "timestamp": seconds(span.end_time),
        "data": _data(span),
        **({"tags": {"performance_issue": "true"}} if is_breached(span) else {}),
    }


def _ids(span: ReadableSpan) -> dict[str, str]:
    ids: dict[str, str] = {}
    if span.context is not None:
        ids["trace_id"] = format_trace_id(span.context.trace_id)
        ids["span_id"] = format_span_id(span.context.span_id)
    if span.parent is not None:
        ids["parent_span_id"] = format_span_id(span.parent.span_id)
    return ids


def _data(span: ReadableSpan) -> dict[str, Any]:
    data = {str(key): plain(value) for key, value in (span.attributes or {}).items()}
    data["otel.kind"] = span.kind.name
    if span.events:
        data["otel.events"] = [
            {
                "name": event.name,
                "timestamp": seconds(event.timestamp),
                "attributes": {str(key): plain(value) for key, value in (event.attributes or {}).items()},
            }
            for event in span.events
        ]
    if span.status.description:
        data["otel.status_description"] = span.status.description
    return data


def plain(value: Any) -> Any:
    """Return an attribute's value with nothing in it but what JSON knows."""
    if isinstance(value, Mapping):
        return {str(key): plain(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [plain(member) for member in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _origin(span: ReadableSpan) -> str:
    scope = span.instrumentation_scope
    name = (scope.name if scope else "").rpartition(".")[2].replace("_", "-")
    return f"auto.otel.{name}" if name else "auto.otel"


def _contexts(tree: Tree) -> dict[str, Any]:
    root = tree.root
    description = describe(root)
    contexts: dict[str, Any] = {
        "trace": {
            "type": "trace",
            **_ids(root),
            "op": description.op,
            "status": description.status,
            "origin": _origin(root),
            "data": _data(root),
        },
        "otel": {
            "attributes": {key: plain(value) for key, value in (root.attributes or {}).items()},
            "resource": {key: plain(value) for key, value in root.resource.attributes.items()},
        },
        "runtime": {
            "type": "runtime",
            "name": platform.python_implementation(),
            "version": platform.python_version(),
        },
    }
    links = [
        {"trace_id": format_trace_id(link.context.trace_id), "span_id": format_span_id(link.context.span_id)}
        for link in root.links
    ]
    if links:
        contexts["trace"]["links"] = links
    status_code = semconv.first(root.attributes or {}, semconv.HTTP_STATUS_CODE)
    if status_code is not None:
        contexts["response"] = {"type": "response", "status_code": status_code}
    breaches = [_breach(span) for span in [root, *tree.children] if is_breached(span)]
    if breaches:
        contexts["latency"] = {"type": "latency", "breaches": breaches}
    assembly = {"spans_left_out": tree.left_out, "late": tree.orphan}
    if any(assembly.values()):
        contexts["mita"] = {"type": "mita", **assembly}
    return contexts


def _breach(span: ReadableSpan) -> dict[str, Any]:
    attributes = span.attributes or {}
    return {
        "span_id": _ids(span).get("span_id"),
        "span": span.name,
        "kind": attributes.get(semconv.LATENCY_KIND),
        "rule": attributes.get(semconv.LATENCY_RULE),
        "limit_ms": attributes.get(semconv.LATENCY_LIMIT_MS),
        "duration_ms": attributes.get(semconv.LATENCY_DURATION_MS),
        "overrun_ms": attributes.get(semconv.LATENCY_OVERRUN_MS),
    }


def _tags(tree: Tree, spans: Sequence[ReadableSpan], allowed: Sequence[str]) -> dict[str, str]:
    tags: dict[str, str] = {}
    for tag, name in TAG_OF.items():
        value = _first_value(spans, name)
        if value is not None:
            tags[tag] = str(value)[:MAX_TAG]
    if _first_value(spans, semconv.OPERATION) is not None:
        tags["financial_service"] = "true"
    component = tree.root.resource.attributes.get(semconv.SERVICE_NAME)
    if component:
        tags["component"] = str(component)[:MAX_TAG]
    breached = [span for span in spans if is_breached(span)]
    if breached:
        worst = max(breached, key=_overrun_ms)
        attributes = worst.attributes or {}
        tags["performance_issue"] = "true"
        tags["latency_rule"] = str(attributes.get(semconv.LATENCY_RULE))[:MAX_TAG]
        tags["latency_limit_ms"] = f"{attributes.get(semconv.LATENCY_LIMIT_MS):g}"
    if any(span.status.status_code is StatusCode.ERROR for span in spans):
        tags["failed"] = "true"
    if tree.orphan:
        tags["late_span"] = "true"
    return {tag: value for tag, value in tags.items() if tag in allowed}


def _overrun_ms(span: ReadableSpan) -> float:
    overrun = (span.attributes or {}).get(semconv.LATENCY_OVERRUN_MS)
    return overrun if isinstance(overrun, int | float) else 0.0


def _first_value(spans: Iterable[ReadableSpan], name: str) -> Any:
    for span in spans:
        value = (span.attributes or {}).get(name)
        if value is not None:
            return value
    return None


def _measurements(spans: Sequence[ReadableSpan]) -> dict[str, Any]:
    root, queries = spans[0], [span for span in spans if describe(span).op.startswith("db")]
    measurements: dict[str, Any] = {}
    if queries:
        total_ms = sum((span.end_time or 0) - (span.start_time or 0) for span in queries) / 1e6
        measurements["db.queries"] = {"value": len(queries), "unit": "none"}
        measurements["db.time"] = {"value": round(total_ms, 3), "unit": "millisecond"}
    attributes = root.attributes or {}
    for measurement, name in (
        ("latency.limit", semconv.LATENCY_LIMIT_MS),
        ("latency.overrun", semconv.LATENCY_OVERRUN_MS),
    ):
        if attributes.get(name) is not None:
            measurements[measurement] = {"value": attributes[name], "unit": "millisecond"}
    return measurements
