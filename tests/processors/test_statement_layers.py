"""A statement that SQLAlchemy and its driver both measure is counted once, and keeps both spans."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from mita_otel import semconv
from mita_otel.processors.statement_layers import StatementLayers

OURS, CONTRIB, DRIVER = (
    "mita_otel.instrumentation.sqlalchemy",
    "opentelemetry.instrumentation.sqlalchemy",
    "opentelemetry.instrumentation.psycopg",
)
SELECT = "SELECT id FROM payments WHERE id = %(id)s"


def measured(*spans: tuple[str, str, int, int]) -> list[str | None]:
    """Return for each span (scope, statement, start, end) the instrumentation that is counted in its place."""
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(StatementLayers(SimpleSpanProcessor(exporter)))
    for scope, statement, start, end in spans:
        attributes = {"db.system.name": "postgresql", "db.query.text": statement}
        tracer = provider.get_tracer(scope)
        tracer.start_span("SELECT", kind=SpanKind.CLIENT, attributes=attributes, start_time=start).end(end)
    return [
        None if (by := (span.attributes or {}).get(semconv.DB_MEASURED_BY)) is None else str(by)
        for span in exporter.get_finished_spans()
    ]


@pytest.mark.parametrize("outer", [OURS, CONTRIB])
def test_the_outer_span_of_a_statement_is_marked(outer: str) -> None:
    assert measured((DRIVER, SELECT, 2, 8), (outer, SELECT, 1, 9)) == [None, DRIVER]
    commented = f"{SELECT} /*traceparent='00-1'*/"
    assert measured((DRIVER, commented, 2, 9), (outer, SELECT, 1, 9)) == [None, DRIVER]


@pytest.mark.parametrize(
    "spans",
    [
        [(OURS, SELECT, 1, 2), (OURS, SELECT, 1, 3)],
        [(DRIVER, SELECT, 1, 2), (OURS, SELECT, 3, 4)],
        [(DRIVER, SELECT, 1, 3), (OURS, SELECT, 2, 4)],
        [(DRIVER, SELECT, 5, 5), (OURS, SELECT, 5, 5)],
        [(DRIVER, SELECT, 2, 3), (OURS, "SELECT 1 FROM users", 1, 4)],
    ],
)
def test_statements_of_one_layer_are_not_marked(spans: list[tuple[str, str, int, int]]) -> None:
    assert measured(*spans) == [None, None]


def test_statements_that_overlap_are_each_counted_once() -> None:
    spans = [
        (DRIVER, SELECT, 3, 18), (OURS, SELECT, 2, 19), (DRIVER, SELECT, 4, 20), (OURS, SELECT, 1, 21),
        (DRIVER, SELECT, 31, 32), (DRIVER, SELECT, 41, 42), (OURS, SELECT, 40, 43), (OURS, SELECT, 30, 44),
    ]  # fmt: skip
    assert measured(*spans) == [None, DRIVER, None, DRIVER, None, None, DRIVER, DRIVER]
