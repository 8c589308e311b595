"""A connection checkout is a span if it is slow, fails, or the policy requires it."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from sqlalchemy import create_engine
from sqlalchemy.pool import QueuePool

from mita_otel.instrumentation.patches import Patches
from mita_otel.instrumentation.sqlalchemy import SQLAlchemyInstrumentation
from mita_otel.latency.facts import SpanFacts
from mita_otel.policy import default_policy
from mita_otel.policy.limits import AdaptiveLimit, lowest_ms

POLICY = default_policy().instrumentation


def check_out(
    slow_checkout_ms: float | None, *, always: bool = False, fails: bool = False
) -> list[ReadableSpan]:
    """Check out a connection from a pool with one connection, and return the spans."""
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    instrumentation = SQLAlchemyInstrumentation(
        POLICY.replace(sqlalchemy_connect_spans=always),
        Patches(),
        provider.get_tracer("t"),
        slow_checkout_ms=slow_checkout_ms,
    )
    engine = create_engine("sqlite://", poolclass=QueuePool, pool_size=1, max_overflow=0, pool_timeout=0.01)
    pool: Any = engine.pool
    connection = instrumentation._connect(pool.connect, pool, (), {})
    if fails:
        with pytest.raises(sqlalchemy.exc.TimeoutError):
            instrumentation._connect(pool.connect, pool, (), {})
    connection.close()
    engine.dispose()
    return list(exporter.get_finished_spans())


def test_a_slow_checkout_is_a_client_span() -> None:
    [span] = check_out(0)
    assert (span.name, span.kind) == ("connect", SpanKind.CLIENT)
    assert dict(span.attributes or {}) == {"db.client.connection.pool.name": "QueuePool"}
    assert span.start_time and span.end_time and span.end_time > span.start_time
    assert SpanFacts(span.name, span.kind.name, 1, span.attributes or {}).kind == "checkout"


@pytest.mark.parametrize("slow_checkout_ms", [60_000, None])
def test_a_fast_checkout_is_not_a_span(slow_checkout_ms: float | None) -> None:
    assert check_out(slow_checkout_ms) == []


def test_the_policy_can_make_every_checkout_a_span() -> None:
    assert len(check_out(None, always=True)) == 1


def test_a_failed_checkout_is_an_error_at_any_duration() -> None:
    [span] = check_out(60_000, fails=True)
    assert span.status.status_code is StatusCode.ERROR
    assert (span.attributes or {})["error.type"] == "sqlalchemy.exc.TimeoutError"


def test_suppressed_instrumentation_creates_no_span() -> None:
    with suppress_instrumentation():
        assert check_out(0) == []


@pytest.mark.parametrize(
    ("limit", "expected"),
    [(100.0, 100.0), ("off", None), (AdaptiveLimit(follow="p99 * 2", floor_ms=20, ceiling_ms=200), 20)],
)
def test_the_lowest_limit_of_the_policy_is_the_threshold_for_spans(
    limit: Any, expected: float | None
) -> None:
    assert lowest_ms(limit) == expected
