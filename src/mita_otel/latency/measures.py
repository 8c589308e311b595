"""The metric that a span's duration goes into, and its attributes, by OpenTelemetry's conventions.

Sources: semantic conventions 1.37, HTTP, database and messaging metrics. Durations without a convention are in
`mita.operation.duration`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from mita_otel import semconv
from mita_otel.latency.facts import SpanFacts
from mita_otel.latency.operations import OTHER, Operation, method_of

BUCKETS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
"""Bucket boundaries of durations in seconds: the conventions' for HTTP."""

METRICS: Final[Mapping[str, str]] = {
    "api": semconv.HTTP_SERVER_DURATION,
    "outgoing": semconv.HTTP_CLIENT_DURATION,
    "database": semconv.DB_CLIENT_DURATION,
    "cache": semconv.DB_CLIENT_DURATION,
    "checkout": semconv.DB_WAIT_TIME,
    "consumer": semconv.MESSAGING_PROCESS_DURATION,
}
"""The metric of each kind; of any other it is `mita.operation.duration`."""

Value = str | int


@dataclass(frozen=True, slots=True)
class Measure:
    """The metric and the attributes of a duration."""

    metric: str
    attributes: dict[str, Value]


def measure_of(facts: SpanFacts, operation: Operation, *, failed: bool) -> Measure:
    """Return the metric and the attributes of a span.

    Args:
        facts: The span's facts.
        operation: Its operation, as it is shown. Names are omitted for `(other)`, so that
            there are no more series than operations.
        failed: Whether the span failed.
    """
    metric = METRICS.get(operation.kind, semconv.OPERATION_DURATION)
    attributes: dict[str, Any] = _ATTRIBUTES.get(metric, _operation)(facts, operation)
    if operation.name == OTHER:
        for name in _NAMES:
            attributes.pop(name, None)
    if failed:
        attributes[semconv.ERROR_TYPE] = str(facts.attributes.get(semconv.ERROR_TYPE) or "_OTHER")
    return Measure(metric, {name: value for name, value in attributes.items() if value is not None})


_NAMES: Final = (
    "http.route",
    "server.address",
    "server.port",
    "db.collection.name",
    "messaging.destination.name",
)


def _http_server(facts: SpanFacts, operation: Operation) -> dict[str, Any]:
    return {
        "http.request.method": method_of(facts),
        "url.scheme": semconv.first(facts.attributes, semconv.HTTP_SCHEME),
        "http.route": facts.route,
        "http.response.status_code": semconv.first(facts.attributes, semconv.HTTP_STATUS_CODE),
    }


def _http_client(facts: SpanFacts, operation: Operation) -> dict[str, Any]:
    return {
        "http.request.method": method_of(facts),
        "server.address": facts.host,
        "server.port": semconv.first(facts.attributes, semconv.SERVER_PORT),
        "http.response.status_code": semconv.first(facts.attributes, semconv.HTTP_STATUS_CODE),
    }


def _database(facts: SpanFacts, operation: Operation) -> dict[str, Any]:
    return {
        "db.system.name": semconv.first(facts.attributes, semconv.DB_SYSTEM),
        "db.operation.name": facts.command if operation.kind == "cache" else facts.verb,
        "db.collection.name": facts.table,
    }


def _checkout(facts: SpanFacts, operation: Operation) -> dict[str, Any]:
    return {semconv.DB_POOL_NAME: facts.attributes.get(semconv.DB_POOL_NAME)}


def _messaging(facts: SpanFacts, operation: Operation) -> dict[str, Any]:
    return {
        "messaging.system": semconv.first(facts.attributes, semconv.MESSAGING_SYSTEM),
        "messaging.destination.name": facts.bounded_destination,
    }


def _operation(facts: SpanFacts, operation: Operation) -> dict[str, Any]:
    return {
        semconv.OPERATION: operation.name,
        semconv.OPERATION_CATEGORY: facts.category,
        semconv.OPERATION_KIND: operation.kind,
    }


_ATTRIBUTES: Final = {
    semconv.HTTP_SERVER_DURATION: _http_server,
    semconv.HTTP_CLIENT_DURATION: _http_client,
    semconv.DB_CLIENT_DURATION: _database,
    semconv.DB_WAIT_TIME: _checkout,
    semconv.MESSAGING_PROCESS_DURATION: _messaging,
}
