"""`monitor_database_operation` measures statements with the limit of their verb and table."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from opentelemetry import trace

from finance.recording import Recording
from mita_otel import monitor_database_operation, monitor_financial_operation, semconv
from mita_otel.latency.facts import SpanFacts
from mita_otel.latency.limits import LimitBook
from mita_otel.policy import default_policy


def test_a_client_span_has_the_limit_of_its_verb(recording: Recording) -> None:
    with (
        monitor_financial_operation("payment_processing"),
        monitor_database_operation(
            "SELECT", "payments", system="postgresql", statement="SELECT 1", additional_context={"shard": 3}
        ) as query,
    ):
        query.set_data("rows", 5)
        query.set_tag("replica", "eu")
    span, operation = recording.spans
    assert (span.name, span.kind) == ("SELECT payments", trace.SpanKind.CLIENT)
    assert span.parent is not None and operation.context is not None
    assert span.parent.span_id == operation.context.span_id
    attributes = dict(span.attributes or {})
    assert attributes["db.system.name"] == "postgresql"
    assert attributes["mita.operation.data.shard"] == 3
    assert attributes["mita.operation.data.rows"] == 5
    assert attributes["mita.tag.replica"] == "eu"
    assert semconv.OPERATION not in attributes
    facts = SpanFacts(span.name, span.kind.name, 201, attributes)
    verdict = LimitBook(default_policy().thresholds).judge(facts)
    assert "database.SELECT" in str(verdict)


def test_an_exception_marks_the_span_and_propagates(recording: Recording) -> None:
    with pytest.raises(TimeoutError), monitor_database_operation("CALL"):
        raise TimeoutError("no answer")
    [span] = recording.spans
    assert span.status.status_code is trace.StatusCode.ERROR
    assert (span.attributes or {})["error.type"] == "TimeoutError"


async def test_async_operations_nest_and_can_be_cancelled(recording: Recording) -> None:
    async with monitor_database_operation("SELECT"), monitor_database_operation("INSERT"):
        await asyncio.sleep(0)

    async def hang() -> None:
        async with monitor_database_operation("UPDATE"):
            await asyncio.sleep(60)

    task = asyncio.create_task(hang())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    inner, outer, cancelled = recording.spans
    assert inner.parent is not None and outer.context is not None
    assert inner.parent.span_id == outer.context.span_id
    assert cancelled.status.status_code is trace.StatusCode.UNSET
    assert trace.get_current_span() is trace.INVALID_SPAN


async def test_it_decorates_functions_coroutines_and_generators(recording: Recording) -> None:
    @monitor_database_operation("SELECT", "a")
    def plain(x: int) -> int:
        return x + 1

    @monitor_database_operation("SELECT", "b")
    async def later(x: int) -> int:
        return x + 1

    @monitor_database_operation("SELECT", "c")
    def rows() -> Iterator[str]:
        yield trace.get_current_span().name  # type: ignore[attr-defined]

    assert (plain(1), await later(2), list(rows())) == (2, 3, ["SELECT c"])
    assert [span.name for span in recording.spans] == ["SELECT a", "SELECT b", "SELECT c"]


def test_without_configuration_nothing_is_measured() -> None:
    with monitor_database_operation("SELECT", statement="SELECT 1") as query:
        query.set_data("rows", 1)
    assert monitor_database_operation("SELECT")(lambda x: x)(5) == 5
