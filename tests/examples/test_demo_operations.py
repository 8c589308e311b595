"""The table of operations: grouped by limit, percentiles by nearest rank, breaches counted."""

from __future__ import annotations

import io
from typing import Any

import pytest
from examples.payments.demo_operations import operations_table, percentile, summarise_operations
from rich.console import Console

from mita_otel import semconv
from mita_otel.exporters.span_record import SpanRecord
from mita_otel.latency.limits import LimitBook
from mita_otel.policy import default_policy


def span(name: str, kind: str, took_ms: float, attributes: dict[str, Any], **more: Any) -> SpanRecord:
    return SpanRecord(
        "t", f"{id(attributes):x}", None, name, kind, 0, round(took_ms * 1e6), attributes=attributes, **more
    )


def request(method: str, route: str, took_ms: float, exceeded: bool = False, **more: Any) -> SpanRecord:
    attributes: dict[str, Any] = {"http.request.method": method, "http.route": route}
    if exceeded:
        attributes[semconv.LATENCY_EXCEEDED] = True
    return span(f"{method} {route}", "SERVER", took_ms, attributes, **more)


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        ([7], 50, 7),
        ([7], 95, 7),
        ([3, 1, 2], 50, 2),
        ([4, 3, 2, 1], 50, 2),
        (range(1, 101), 95, 95),
        ([1, 9], 95, 9),
    ],
)
def test_percentiles_are_values_that_occurred(values: list[float], percent: int, expected: float) -> None:
    assert percentile(list(values), percent) == expected


SPANS = [
    *[request("GET", "/api/accounts/{id}/balance", ms, ms > 300) for ms in (10, 20, 320)],
    request("POST", "/api/payments", 50, status="ERROR"),
    span(
        "SELECT accounts",
        "CLIENT",
        5,
        {"db.system": "sqlite", "db.statement": "select 1", "db.sql.table": "accounts"},
    ),
    span("settle", "CONSUMER", 100, {semconv.OPERATION: "payment_processing"}),
    span("fastapi.background_task", "INTERNAL", 30, {}),
    span("an inner step", "INTERNAL", 30, {}),
]


def test_operations_with_a_limit_are_listed_in_a_fixed_order() -> None:
    found = summarise_operations(SPANS, LimitBook(default_policy().thresholds))
    assert [
        (one.operation, one.count, one.p50_ms, one.p95_ms, one.limit_ms, one.breaches, one.failures)
        for one in found
    ] == [
        ("GET /api/accounts/{id}/balance", 3, 20, 320, 300, 1, 0),
        ("POST /api/payments", 1, 50, 50, 1000, 0, 1),
        ("payment_processing", 1, 100, 100, 1200, 0, 0),
        ("fastapi.background_task", 1, 30, 30, 5000, 0, 0),
        ("SELECT accounts", 1, 5, 5, 200, 0, 0),
    ]


@pytest.mark.parametrize("width", [70, 100])
def test_the_table_fits(width: int) -> None:
    stream = io.StringIO()
    long = request("GET", "/api/" + "very/" * 40, 1)
    table = operations_table(summarise_operations([*SPANS, long], LimitBook(default_policy().thresholds)))
    Console(file=stream, width=width).print(table)
    lines = stream.getvalue().splitlines()
    assert lines[0].split() == ["operation", "count", "failed", "p50", "p95", "limit", "breaches"]
    assert {len(line) for line in lines} == {width}
    assert any(line.startswith("GET /api/acc") and line.endswith(" 1") for line in lines)
