"""Contexts, user, request and response of a transaction or an error."""

from __future__ import annotations

import os
import platform
import socket
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from opentelemetry.sdk.trace import ReadableSpan

from mita_otel import semconv
from mita_otel.sentry.mapping.attribute_values import ids_of, json_value

Attributes = Mapping[str, Any]
Context = dict[str, Any]

_FINANCIAL: Final = {
    "operation": semconv.OPERATION,
    "category": semconv.OPERATION_CATEGORY,
    "outcome": semconv.OPERATION_OUTCOME,
    "transaction_id": semconv.TRANSACTION_ID,
    "amount": semconv.AMOUNT,
    "currency": semconv.CURRENCY,
    "severity": semconv.SEVERITY,
    "error_category": semconv.ERROR_CATEGORY,
    "pci_scope": semconv.PCI_SCOPE,
}
_COMPLIANCE: Final = {
    "regulation": semconv.COMPLIANCE_REGULATION,
    "requirement": semconv.COMPLIANCE_REQUIREMENT,
    "status": semconv.COMPLIANCE_STATUS,
}
_SECURITY: Final = {"event_type": semconv.SECURITY_EVENT_TYPE, "attempts": semconv.SECURITY_ATTEMPTS}
_USER: Final = {
    "id": semconv.USER_ID,
    "subscription_tier": semconv.USER_TIER,
    "account_type": semconv.USER_ACCOUNT_TYPE,
    "risk_level": semconv.USER_RISK_LEVEL,
}
_APP: Final = {
    "app_name": semconv.SERVICE_NAME,
    "app_version": semconv.SERVICE_VERSION,
    "app_identifier": "service.namespace",
    "app_build": "service.instance.id",
}


def financial_contexts(sources: Sequence[Attributes]) -> dict[str, Context]:
    """Return the `financial`, `compliance` and `security` contexts.

    Args:
        sources: The attributes of each span or log record. The first value of each attribute is used.
    """
    contexts: dict[str, Context] = {}
    for name, table in (("financial", _FINANCIAL), ("compliance", _COMPLIANCE), ("security", _SECURITY)):
        context: Context = {}
        for attributes in reversed(sources):
            context.update(_picked(attributes, table))
        if context:
            contexts[name] = {"type": name, **context}
    return contexts


def user_of(sources: Sequence[Attributes]) -> Context:
    """Return Sentry's user interface. For `sources` see `financial_contexts`."""
    user: Context = {}
    for attributes in reversed(sources):
        user.update(_picked(attributes, _USER))
    if "id" in user:
        user["id"] = str(user["id"])
    return user


def process_contexts(resource: Mapping[str, Any]) -> dict[str, Context]:
    """Return the contexts of the process: `app`, `runtime`, `os`, `device`, `cloud_resource`."""
    app = {"type": "app", **_picked(resource, _APP)}
    contexts = {"app": app, **_machine()}
    cloud = {
        name: json_value(value) for name, value in resource.items() if name.startswith(("cloud.", "host."))
    }
    if cloud:
        contexts["cloud_resource"] = {"type": "cloud_resource", **cloud}
    return contexts


def otel_context(span: ReadableSpan) -> Context:
    """Return the `otel` context: resource and instrumentation scope."""
    scope = span.instrumentation_scope
    context: Context = {"type": "otel", "resource": json_value(span.resource.attributes)}
    if scope is not None:
        context["scope"] = {"name": scope.name, "version": scope.version}
    return context


def response_context(span: ReadableSpan) -> Context:
    """Return the `response` context. Empty if the span is not a request."""
    attributes = span.attributes or {}
    facts = {
        "status_code": semconv.first(attributes, semconv.HTTP_STATUS_CODE),
        "body_size": attributes.get("http.response.body.size"),
        "headers": _headers(attributes, "http.response.header."),
    }
    found = {name: value for name, value in facts.items() if value}
    return {"type": "response", **found} if found else {}


def request_of_span(span: ReadableSpan) -> Context:
    """Return Sentry's request interface. Empty if the span is not a request."""
    attributes = span.attributes or {}
    path = semconv.first(attributes, semconv.HTTP_PATH)
    url = semconv.first(attributes, semconv.HTTP_URL)
    if url is None and path is not None:
        scheme = semconv.first(attributes, semconv.HTTP_SCHEME) or "http"
        port = semconv.first(attributes, semconv.SERVER_PORT)
        host = semconv.first(attributes, semconv.SERVER_ADDRESS) or "localhost"
        url = f"{scheme}://{host}{f':{port}' if port and ':' not in str(host) else ''}{path}"
    facts = {
        "method": semconv.first(attributes, semconv.HTTP_METHOD),
        "url": str(url).partition("?")[0] if url else None,
        "query_string": semconv.first(attributes, semconv.HTTP_QUERY) or str(url or "").partition("?")[2],
        "headers": _headers(attributes, "http.request.header."),
    }
    return {name: value for name, value in facts.items() if value}


def breaches_of(span: ReadableSpan) -> list[Context]:
    """Return the exceeded limits of a span: its latency, and a statement that ran too often below it."""
    attributes = span.attributes or {}
    where: Context = {"span_id": ids_of(span).get("span_id"), "span": span.name}
    breaches: list[Context] = []
    if attributes.get(semconv.LATENCY_EXCEEDED):
        breaches.append(
            {
                **where,
                "kind": attributes.get(semconv.LATENCY_KIND),
                "rule": attributes.get(semconv.LATENCY_RULE),
                "limit_ms": attributes.get(semconv.LATENCY_LIMIT_MS),
                "duration_ms": attributes.get(semconv.LATENCY_DURATION_MS),
                "overrun_ms": attributes.get(semconv.LATENCY_OVERRUN_MS),
            }
        )
    if semconv.REPEATED_QUERIES in attributes:
        breaches.append(
            {
                **where,
                "kind": "database",
                "rule": semconv.REPEATED_QUERIES_RULE,
                "limit": attributes.get(semconv.REPEATED_QUERIES_MAX),
                "count": attributes.get(semconv.REPEATED_QUERIES),
                "statement": attributes.get(semconv.REPEATED_QUERIES_STATEMENT),
                "duration_ms": attributes.get(semconv.REPEATED_QUERIES_MS),
            }
        )
    return breaches


def _picked(attributes: Mapping[str, Any], table: Mapping[str, str]) -> Context:
    return {
        name: json_value(attributes[key]) for name, key in table.items() if attributes.get(key) is not None
    }


def _headers(attributes: Mapping[str, Any], prefix: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in attributes.items():
        if name.startswith(prefix):
            values = value if isinstance(value, list | tuple) else [value]
            found[name[len(prefix) :].replace("_", "-")] = ", ".join(str(one) for one in values)
    return found


@lru_cache(maxsize=1)
def _machine() -> dict[str, Context]:
    """Return the contexts that do not change during the process: `runtime`, `os`, `device`."""
    return {
        "runtime": {
            "type": "runtime",
            "name": platform.python_implementation(),
            "version": platform.python_version(),
        },
        "os": {"type": "os", "name": platform.system(), "version": platform.release()},
        "device": {
            "type": "device",
            "name": socket.gethostname(),
            "arch": platform.machine(),
            "processor_count": os.cpu_count(),
        },
    }
