"""A CLIENT span for each statement, of every engine, with stable attribute names."""

from __future__ import annotations

import asyncio
import threading

import pytest
import sqlalchemy
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from sqlalchemy import Column, Integer, MetaData, String, Table, create_engine, insert, text
from sqlalchemy.ext.asyncio import create_async_engine

from mita_otel.instrumentation.patches import Patches
from mita_otel.instrumentation.sqlalchemy import SQLAlchemyInstrumentation
from mita_otel.policy import default_policy

POLICY = default_policy().instrumentation


class Traced:
    """A provider, its spans, and the instrumentation of the global Engine class during a test."""

    def __init__(self, patches: Patches) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = self.provider.get_tracer("test")
        self.instrumentation = SQLAlchemyInstrumentation(POLICY, patches, self.tracer)

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self.exporter.get_finished_spans())


@pytest.fixture
def traced(patches: Patches) -> Traced:
    it = Traced(patches)
    it.instrumentation.install()
    return it


def test_statements_of_earlier_and_later_engines_are_measured_once(traced: Traced) -> None:
    engine = create_engine("sqlite://")
    traced.instrumentation.instrument(engine)  # passed explicitly too: still measured once
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE accounts (id INTEGER, balance INTEGER)"))
        connection.execute(
            text("INSERT INTO accounts VALUES (:id, :b)"), [{"id": 1, "b": 5}, {"id": 2, "b": 6}]
        )
        connection.execute(
            text("WITH rich AS (SELECT * FROM accounts) SELECT * FROM rich WHERE id = :i"), {"i": 1}
        )
    engine.dispose()
    _, insert, select = traced.spans
    assert [span.name for span in traced.spans] == ["CREATE accounts", "INSERT accounts", "SELECT accounts"]
    assert all(span.kind is SpanKind.CLIENT for span in traced.spans)
    assert dict(insert.attributes or {}) == {
        "db.system.name": "sqlite",
        "db.query.text": "INSERT INTO accounts VALUES (?, ?)",
        "db.operation.name": "INSERT",
        "db.collection.name": "accounts",
        "db.operation.batch.size": 2,
    }
    assert (select.attributes or {})["db.operation.name"] == "SELECT"


@pytest.mark.parametrize(("rows", "size"), [(1, None), (2, 2), (7, 7)])
@pytest.mark.parametrize("returning", [False, True])
def test_a_batch_records_its_number_of_rows(
    traced: Traced, rows: int, size: int | None, returning: bool
) -> None:
    engine = create_engine("sqlite://")
    cards = Table("cards", MetaData(), Column("id", Integer, primary_key=True), Column("owner", String))
    statement = insert(cards).returning(cards.c.id) if returning else insert(cards)
    with engine.begin() as connection:
        cards.create(connection)
        connection.execute(statement, [{"id": number, "owner": "ada"} for number in range(rows)])
    engine.dispose()
    assert (traced.spans[-1].attributes or {}).get("db.operation.batch.size") == size


def test_an_engine_created_earlier_is_measured(traced: Traced, patches: Patches) -> None:
    fresh = Traced(patches)
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    assert len(traced.spans) == 1
    assert fresh.spans == []
    engine.dispose()


async def test_a_statement_of_a_cancelled_task_is_not_an_error(traced: Traced) -> None:
    engine = create_async_engine("sqlite+aiosqlite://")
    started, loop = asyncio.Event(), asyncio.get_running_loop()
    go_on = threading.Event()

    def hold() -> int:  # an SQL function, so that the statement runs until it is released
        loop.call_soon_threadsafe(started.set)
        go_on.wait(30)
        return 1

    async def query() -> None:
        async with engine.connect() as connection:
            raw = await connection.get_raw_connection()
            assert raw.driver_connection is not None
            await raw.driver_connection.create_function("hold", 0, hold)
            await connection.execute(text("SELECT hold()"))

    task = asyncio.create_task(query())
    await started.wait()
    task.cancel()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    await engine.dispose()
    (span,) = traced.spans
    assert span.status.status_code is StatusCode.UNSET
    assert (span.attributes or {})["error.type"] == "asyncio.exceptions.CancelledError"


async def test_a_statement_of_an_async_engine_has_its_parent(traced: Traced) -> None:
    engine = create_async_engine("sqlite+aiosqlite://")
    with traced.tracer.start_as_current_span("request"):
        async with engine.connect() as connection:
            await connection.execute(text("SELECT 1"))
    await engine.dispose()
    query, request = traced.spans
    assert query.name == "SELECT"
    assert query.parent is not None
    assert query.parent.span_id == request.context.span_id


def test_a_failed_statement_is_an_error_and_ends_its_span(traced: Traced) -> None:
    engine = create_engine("sqlite://")
    with engine.connect() as connection, pytest.raises(sqlalchemy.exc.OperationalError):
        connection.execute(text("SELECT * FROM nowhere"))
    engine.dispose()
    [span] = traced.spans
    assert span.status.status_code is StatusCode.ERROR
    assert "nowhere" in (span.status.description or "")
    assert (span.attributes or {})["error.type"] == "sqlite3.OperationalError"
    assert span.end_time is not None


def test_suppressed_instrumentation_creates_no_span(traced: Traced) -> None:
    engine = create_engine("sqlite://")
    with suppress_instrumentation(), engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    engine.dispose()
    assert traced.spans == []


def test_a_span_name_contains_only_the_file_name_of_the_database(traced: Traced, tmp_path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/bank.db")
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    engine.dispose()
    assert traced.spans[0].name == "SELECT bank.db"


def test_a_single_engine_can_be_instrumented(patches: Patches) -> None:
    traced = Traced(patches)
    measured, other = create_engine("sqlite://"), create_engine("sqlite://")
    traced.instrumentation.instrument(measured)
    for engine in (measured, other):
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
        engine.dispose()
    assert len(traced.spans) == 1
