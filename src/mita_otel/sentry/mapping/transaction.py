"""Pure functions that build a Sentry transaction event from a span tree.

Source: Sentry's event payloads, transactions and trace context. OpenTelemetry ids are unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

from opentelemetry.sdk.trace import ReadableSpan

from mita_otel import semconv
from mita_otel.sentry.mapping.attribute_values import data_of, ids_of, links_of, origin_of, seconds
from mita_otel.sentry.mapping.contexts import (
    breaches_of,
    financial_contexts,
    otel_context,
    process_contexts,
    request_of_span,
    response_context,
    user_of,
)
from mita_otel.sentry.mapping.description import SpanDescription, describe
from mita_otel.sentry.mapping.span_tree import Tree, is_breached
from mita_otel.sentry.mapping.tags import transaction_tags
from mita_otel.sentry.mapping.transaction_name import transaction_name
from mita_otel.sentry.transport.sender_identity import Identity


def transaction_event(
    tree: Tree,
    identity: Identity,
    tags: Sequence[str],
    breadcrumbs: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Return the transaction event of a tree.

    Args:
        tree: The redacted spans, with their latency attributes.
        identity: Environment, release, host and SDK of the sender.
        tags: Names of mita-otel's tags that the policy allows.
        breadcrumbs: Redacted log records of the trace.
    """
    root = tree.root
    spans = [root, *tree.children]
    attributes = [span.attributes or {} for span in spans]
    described = [describe(span) for span in spans]
    named = transaction_name(root, described[0])
    event: dict[str, Any] = {
        "event_id": uuid4().hex,
        "type": "transaction",
        "platform": "python",
        "transaction": named.name,
        "transaction_info": {"source": named.source},
        "start_timestamp": seconds(root.start_time),
        "timestamp": seconds(root.end_time),
        "contexts": _contexts(tree, spans, attributes, described[0], named.name),
        "spans": [_span(*pair) for pair in zip(tree.children, described[1:], strict=True)],
        "tags": transaction_tags(spans, late=tree.orphan, allowed=tags),
        "measurements": measurements(spans, described),
        **identity.fields(),
    }
    optional = {
        "user": user_of(attributes),
        "request": request_of_span(root),
        "breadcrumbs": {"values": list(breadcrumbs)} if breadcrumbs else None,
    }
    event.update({name: value for name, value in optional.items() if value})
    return event


def measurements(spans: Sequence[ReadableSpan], described: Sequence[SpanDescription]) -> dict[str, Any]:
    """Return a transaction's measurements: latency limit and overrun of its root, queries, redacted values."""
    found: dict[str, Any] = {}
    queries = [span for span, one in zip(spans, described, strict=True) if one.op.startswith("db")]
    if queries:
        total_ms = sum((span.end_time or 0) - (span.start_time or 0) for span in queries) / 1e6
        found["db.queries"] = {"value": len(queries), "unit": "none"}
        found["db.time"] = {"value": round(total_ms, 3), "unit": "millisecond"}
    attributes = spans[0].attributes or {}
    for name, key in (
        ("latency.limit", semconv.LATENCY_LIMIT_MS),
        ("latency.overrun", semconv.LATENCY_OVERRUN_MS),
    ):
        if attributes.get(key) is not None:
            found[name] = {"value": attributes[key], "unit": "millisecond"}
    redacted = sum(_count((span.attributes or {}).get(semconv.REDACTED)) for span in spans)
    if redacted:
        found["redacted.values"] = {"value": redacted, "unit": "none"}
    return found


def _count(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _span(span: ReadableSpan, described: SpanDescription) -> dict[str, Any]:
    shown: dict[str, Any] = {
        **ids_of(span),
        "op": described.op,
        "description": described.description,
        "status": described.status,
        "origin": origin_of(span),
        "start_timestamp": seconds(span.start_time),
        "timestamp": seconds(span.end_time),
        "data": data_of(span, described.description),
    }
    if span.links:
        shown["links"] = links_of(span)
    if is_breached(span):
        shown["tags"] = {"performance_issue": "true"}
    return shown


def _contexts(
    tree: Tree,
    spans: Sequence[ReadableSpan],
    attributes: Sequence[Mapping[str, Any]],
    shown: SpanDescription,
    name: str,
) -> dict[str, Any]:
    root = tree.root
    trace: dict[str, Any] = {
        "type": "trace",
        **ids_of(root),
        "op": shown.op,
        "status": shown.status,
        "origin": origin_of(root),
        "data": data_of(root, name),
    }
    if root.links:
        trace["links"] = links_of(root)
    rate = sample_rate_of(root)
    if rate is not None:
        trace["client_sample_rate"] = rate
    contexts: dict[str, Any] = {
        "trace": trace,
        "otel": otel_context(root),
        **process_contexts(root.resource.attributes),
        **financial_contexts(attributes),
    }
    response = response_context(root)
    if response:
        contexts["response"] = response
    breaches = [breach for span in spans for breach in breaches_of(span)]
    if breaches:
        contexts["latency"] = {"type": "latency", "breaches": breaches}
    if tree.left_out or tree.orphan:
        contexts["mita"] = {"type": "mita", "spans_left_out": tree.left_out, "late": tree.orphan}
    return contexts


def sample_rate_of(root: ReadableSpan) -> float | None:
    """Return the sample rate of the trace, 0 to 1, or None if sampling is off."""
    rate = (root.attributes or {}).get(semconv.SAMPLING_RATE)
    return float(rate) if isinstance(rate, int | float) else None
