"""Pure functions that build a Sentry event for an error from the attributes of a log record or span."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode, format_span_id, format_trace_id

from mita_otel import semconv
from mita_otel.processors.captured_exceptions import parse_stacktrace
from mita_otel.sentry.breadcrumbs import of_events
from mita_otel.sentry.mapping.attribute_values import json_value, seconds
from mita_otel.sentry.mapping.contexts import financial_contexts, process_contexts, user_of
from mita_otel.sentry.mapping.span_tree import is_local_root
from mita_otel.sentry.mapping.tags import own_tags, shared_attributes, tags_of

Attributes = Mapping[str, Any]

_LEVELS: Final = ((21, "fatal"), (17, "error"), (13, "warning"), (9, "info"), (0, "debug"))
_INTERFACES: Final = frozenset({"user", "request"})
"""Contexts that Sentry expects as event interfaces."""


def level_of(severity_number: int) -> str:
    """Return Sentry's level for OpenTelemetry's severity number."""
    return next(level for lowest, level in _LEVELS if severity_number >= lowest)


def trace_context(trace_id: int, span_id: int) -> dict[str, Any]:
    """Return the context that links an event to a span."""
    return {"type": "trace", "trace_id": format_trace_id(trace_id), "span_id": format_span_id(span_id)}


def recorded_exception(
    span: ReadableSpan, recorded: Event, tree: Sequence[ReadableSpan] = ()
) -> dict[str, Any]:
    """Return the event of an exception that was recorded on a span.

    A span holds only the text of the stack trace. Frames are parsed from it, and there are no local variables.

    Args:
        span: The span.
        recorded: The exception.
        tree: The spans of its tree. Their breadcrumbs of the financial API become breadcrumbs of the error.
    """
    attributes = recorded.attributes or {}
    frames = parse_stacktrace(str(attributes.get(semconv.EXCEPTION_STACKTRACE) or ""))
    module, _, name = str(attributes.get(semconv.EXCEPTION_TYPE) or "Exception").rpartition(".")
    value: dict[str, Any] = {
        "type": name,
        "value": str(attributes.get(semconv.EXCEPTION_MESSAGE) or ""),
        "mechanism": {
            "type": "opentelemetry.record_exception",
            "handled": not _has_escaped(span, attributes),
        },
    }
    if module:
        value["module"] = module
    if frames:
        value["stacktrace"] = {"frames": frames}
    event: dict[str, Any] = {
        "level": "error",
        "timestamp": seconds(recorded.timestamp),
        "exception": {"values": [value]},
    }
    if span.context is not None:
        event["contexts"] = {"trace": trace_context(span.context.trace_id, span.context.span_id)}
    enrich(event, shared_attributes(span), span.resource.attributes)
    others = [one for other in tree if other is not span for one in other.events]
    events = [*span.events, *(one for one in others if one.name == semconv.BREADCRUMB_EVENT)]
    before = of_events(one for one in events if (one.timestamp or 0) <= (recorded.timestamp or 0))
    if before:
        event["breadcrumbs"] = {"values": [*event.get("breadcrumbs", {}).get("values", []), *before]}
    return event


def _has_escaped(span: ReadableSpan, exception: Attributes) -> bool:
    """Return whether a recorded exception left its span, or ended a task: the error of a request may have a handler."""
    if str(exception.get(semconv.EXCEPTION_ESCAPED)).lower() == "true":
        return True
    is_task = is_local_root(span) and span.kind is not SpanKind.SERVER
    return is_task and span.status.status_code is StatusCode.ERROR


def extra_of(attributes: Attributes) -> dict[str, Any]:
    """Return the attributes of a log record for which Sentry has no other field."""
    return {
        str(name): json_value(value)
        for name, value in attributes.items()
        if not str(name).startswith(("mita.", "exception.", "http.", "code."))
    }


def enrich(event: dict[str, Any], attributes: Attributes, resource: Attributes) -> None:
    """Add tags, user, contexts, fingerprint, breadcrumbs and transaction from the attributes to the event."""
    event["tags"] = {**own_tags(attributes), **tags_of(attributes, resource)}
    contexts = event.setdefault("contexts", {})
    contexts.update(process_contexts(resource))
    contexts.update(financial_contexts([attributes]))
    own_contexts = attributes.get(semconv.CONTEXTS)
    for name, context in own_contexts.items() if isinstance(own_contexts, Mapping) else ():
        if not isinstance(context, Mapping):
            continue
        if name in _INTERFACES:
            event[name] = {**event.get(name, {}), **json_value(context)}
        else:
            contexts[str(name)] = {**contexts.get(str(name), {}), **json_value(context)}
    user = user_of([attributes])
    if user:
        event["user"] = {**event.get("user", {}), **user}
    fingerprint = attributes.get(semconv.FINGERPRINT)
    if isinstance(fingerprint, list | tuple):
        event["fingerprint"] = [str(part) for part in fingerprint]
    breadcrumbs = attributes.get(semconv.BREADCRUMBS)
    if isinstance(breadcrumbs, list | tuple):
        event["breadcrumbs"] = {"values": json_value(breadcrumbs)}
    route = semconv.first(attributes, semconv.HTTP_ROUTE)
    method = semconv.first(attributes, semconv.HTTP_METHOD) or event.get("request", {}).get("method")
    if route and method:
        event["transaction"] = f"{method} {route}"
