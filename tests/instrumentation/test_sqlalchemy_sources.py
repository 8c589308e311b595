"""Equal statements give equal spans, limits and repeats with each instrumentation of SQLAlchemy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from e2e.script import Ran, run_script

CONTRIB = {"MITA_OTEL_INSTRUMENTATION__SQLALCHEMY": "contrib"}
SOURCES: dict[str, dict[str, str | None]] = {
    "native": {},
    "contrib": {**CONTRIB},
    "contrib with stable names": {**CONTRIB, "OTEL_SEMCONV_STABILITY_OPT_IN": "database,http"},
    "contrib with both names": {**CONTRIB, "OTEL_SEMCONV_STABILITY_OPT_IN": "database/dup,http/dup"},
}

STATEMENTS = """
    from sqlalchemy import create_engine, text

    early = create_engine("sqlite:///bank.db")
    opened = early.connect()

    import mita_otel, sqlalchemy
    before = (sqlalchemy.create_engine, sqlalchemy.engine.Engine.connect)
    from mita_otel import semconv
    from mita_otel.exporters.memory import MemorySpanExporter
    from opentelemetry import trace

    memory = MemorySpanExporter(1000)
    telemetry = mita_otel.configure(exporters=[memory])
    late = sqlalchemy.create_engine("sqlite:///bank.db")
    tracer = trace.get_tracer("test")

    def pay(connection):
        connection.execute(text("CREATE TABLE payments (id INTEGER, note TEXT)"))
        connection.execute(
            text("INSERT INTO payments VALUES (:id, 'a gift from Hunter2secret')"), [{"id": 1}, {"id": 2}]
        )
        connection.execute(text("SELECT'Hunter2secret' FROM payments"))
        connection.execute(text("/* Hunter2 */ SELECT extract_year(id) FROM payments -- Hunter2"))
        connection.execute(text("-- nightly\\nWITH all_of_them AS (SELECT * FROM payments) SELECT * FROM all_of_them"))
        connection.execute(text("pragma table_info('payments')"))
        for id in range(12):
            connection.execute(text("SELECT note FROM payments WHERE id = :id"), {"id": id})
        connection.execute(text("DROP TABLE payments"))

    def measured(name, work):
        with tracer.start_as_current_span(name):
            work()

    def in_transaction(engine):
        with engine.begin() as connection:
            connection.connection.driver_connection.create_function("extract_year", 1, lambda id: id)
            pay(connection)

    def on(connection, statement="SELECT 1"):
        with connection:
            connection.execute(text(statement))

    def fail():
        try:
            on(late.connect(), "SELECT * FROM nowhere WHERE note = 'Hunter2secret'")
        except sqlalchemy.exc.OperationalError:
            pass

    measured("early", lambda: in_transaction(early))
    measured("late", lambda: in_transaction(late))
    measured("options", lambda: on(early.execution_options(isolation_level="AUTOCOMMIT").connect()))
    measured("opened", lambda: on(opened))
    measured("failed", fail)
    telemetry.flush()

    names = {span.context.span_id: span.name for span in memory.spans}

    def facts(span):
        attributes = span.attributes
        return {
            "name": span.name,
            "kind": span.kind.name,
            "scope": span.instrumentation_scope.name,
            "parent": names.get(span.parent.span_id) if span.parent else None,
            "statement": semconv.first(attributes, semconv.DB_STATEMENT),
            "verb": semconv.first(attributes, semconv.DB_OPERATION),
            "table": semconv.first(attributes, semconv.DB_COLLECTION),
            "system": semconv.first(attributes, semconv.DB_SYSTEM),
            "namespace": semconv.first(attributes, semconv.DB_NAMESPACE),
            "rows": attributes.get("db.operation.batch.size"),
            "rule": attributes.get(semconv.LATENCY_RULE),
            "repeats": attributes.get(semconv.REPEATED_QUERIES),
            "error": [span.status.status_code.name, attributes.get(semconv.ERROR_TYPE)],
        }

    result = {
        "spans": [facts(span) for span in memory.spans],
        "text": str([[span.name, dict(span.attributes), span.status.description] for span in memory.spans]),
        "operations": mita_otel.get_performance_summary()["categories"]["database"]["operations"],
    }
    telemetry.shutdown()
    result["left"] = [
        str(one)
        for engine in (early, late, create_engine("sqlite://"))
        for one in [*engine.dispatch.before_cursor_execute, *engine.dispatch.engine_connect, *engine.pool.dispatch.checkout]
    ]
    result["patched"] = before != (sqlalchemy.create_engine, sqlalchemy.engine.Engine.connect)
    answer(result)
"""

POLICY = """
[thresholds.database.payments]
SELECT = 0.0001
"""


def run(folder: Path, code: str, env: dict[str, str | None]) -> Ran:
    (folder / "mita-otel.toml").write_text(POLICY)
    return run_script(code, folder, env)


@pytest.fixture(scope="module", params=SOURCES)
def source(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if name != "native":
        pytest.importorskip("opentelemetry.instrumentation.sqlalchemy", exc_type=ImportError)
    return name


@pytest.fixture(scope="module")
def result(source: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    answer: dict[str, Any] = run(tmp_path_factory.mktemp("service"), STATEMENTS, SOURCES[source]).answer
    return answer


def below(result: dict[str, Any], parent: str) -> list[dict[str, Any]]:
    return [span for span in result["spans"] if span["parent"] == parent]


@pytest.mark.parametrize("engine", ["early", "late"])
def test_each_statement_is_one_span_named_by_verb_and_table(result: dict[str, Any], engine: str) -> None:
    spans = below(result, engine)
    assert [span["name"] for span in spans] == [
        "CREATE payments",
        "INSERT payments",
        "SELECT payments",
        "SELECT payments",
        "SELECT payments",
        "PRAGMA bank.db",
        *["SELECT payments"] * 12,
        "DROP payments",
    ]
    assert {span["kind"] for span in spans} == {"CLIENT"}
    assert {span["system"] for span in spans} == {"sqlite"}
    assert {span["namespace"] for span in spans} == {"bank.db"}
    assert [(span["verb"], span["table"]) for span in spans][4:6] == [
        ("SELECT", "payments"),
        ("PRAGMA", None),
    ]
    assert [span["rows"] for span in spans if span["rows"]] == [2]


def test_the_selected_instrumentation_creates_the_spans(source: str, result: dict[str, Any]) -> None:
    scopes = {
        span["scope"] for name in ("early", "late", "options", "opened") for span in below(result, name)
    }
    expected = "mita_otel" if source == "native" else "opentelemetry"
    assert scopes == {f"{expected}.instrumentation.sqlalchemy"}


@pytest.mark.parametrize("parent", ["options", "opened"])
def test_a_statement_of_any_connection_is_one_span(result: dict[str, Any], parent: str) -> None:
    assert [span["name"] for span in below(result, parent)] == ["SELECT bank.db"]


def test_no_literal_is_in_any_name_or_attribute(result: dict[str, Any]) -> None:
    assert "Hunter2secret" not in result["text"]
    statements = [span["statement"] for span in below(result, "late")]
    assert statements[1:3] == ["INSERT INTO payments VALUES (?, ?)", "SELECT? FROM payments"]


def test_the_limit_of_a_table_applies(result: dict[str, Any]) -> None:
    rules = {span["rule"] for span in result["spans"] if span["name"] == "SELECT payments"}
    assert rules == {"database.payments.SELECT"}


def test_repeated_queries_are_found(result: dict[str, Any]) -> None:
    repeats = {span["name"]: span["repeats"] for span in result["spans"] if span["repeats"]}
    assert repeats == {"early": 12, "late": 12}


def test_summaries_group_by_verb_and_table(result: dict[str, Any]) -> None:
    assert {name: one["count"] for name, one in result["operations"].items()} == {
        "CREATE payments": 2,
        "INSERT payments": 2,
        "SELECT payments": 30,
        "PRAGMA": 2,
        "DROP payments": 2,
        "SELECT": 2,
        "SELECT nowhere": 1,
    }
    assert result["operations"]["SELECT nowhere"]["errors"] == 1


def test_a_failed_statement_is_an_error_with_its_type(result: dict[str, Any]) -> None:
    [span] = below(result, "failed")
    assert (span["name"], span["error"]) == ("SELECT nowhere", ["ERROR", "sqlite3.OperationalError"])


def test_shutdown_reverts_the_instrumentation(result: dict[str, Any]) -> None:
    assert result["left"] == []
    assert result["patched"] is False


# --- applications that use the contrib package themselves ---------------------------------------------
APPLICATION = """
    import asyncio
    import sqlalchemy
    from sqlalchemy import create_engine, text
    from sqlalchemy.ext.asyncio import create_async_engine
    from opentelemetry import trace
    from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor

    def made(name):
        return sqlalchemy.create_engine(f"sqlite:///{name}.db")

    first, second = made("first"), made("second")
    concurrent = create_async_engine("sqlite+aiosqlite:///concurrent.db")
    instrument = SQLAlchemyInstrumentor().instrument
    options = {"skip_dep_check": True}
    how = HOW
    if how == "everything":
        instrument(**options)
    elif how == "engine":
        instrument(engine=first, **options)
    elif how == "engines":
        instrument(engines=[first, concurrent.sync_engine], **options)
    third, imported = made("third"), create_engine("sqlite:///imported.db")

    import mita_otel
    from mita_otel.exporters.memory import MemorySpanExporter

    memory = MemorySpanExporter(1000)
    telemetry = mita_otel.configure(exporters=[memory])
    if how == "afterwards":
        instrument(engines=[first, concurrent.sync_engine], **options)
    elif how == "both":
        telemetry.instrument(engine=[first, concurrent])
    tracer = trace.get_tracer("test")

    async def in_tasks():
        async with concurrent.connect() as connection:
            await connection.execute(text("SELECT 1"))
        await concurrent.dispose()

    def use(engine):
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))

    def run():
        for engine in (first, second, third, imported):
            use(engine)
        asyncio.run(in_tasks())

    run()
    telemetry.flush()
    spans = [[span.name, span.instrumentation_scope.name.partition(".")[0]] for span in memory.spans]
    telemetry.shutdown()
    stay = [
        engine.url.database.removesuffix(".db")
        for engine in (first, second, third, imported, concurrent.sync_engine)
        if list(engine.dispatch.before_cursor_execute)
    ]
    answer({"spans": spans, "stay": stay})
"""
EVERY = ["first", "second", "third", "imported", "concurrent"]
BY_APPLICATION = {
    "everything": ["third"],
    "engine": ["first", "third"],
    "engines": ["first", "concurrent", "third"],
    "afterwards": ["first", "concurrent"],
    "both": [],
}
"""Uses of the package by the application, and the engines that it instruments. It misses early imports."""


@pytest.mark.parametrize("setting", ["auto", "contrib"])
@pytest.mark.parametrize("how", BY_APPLICATION)
def test_an_engine_instrumented_by_the_application_is_measured_once(
    tmp_path: Path, how: str, setting: str
) -> None:
    pytest.importorskip("opentelemetry.instrumentation.sqlalchemy", exc_type=ImportError)
    pytest.importorskip("aiosqlite")
    env: dict[str, str | None] = {
        "MITA_OTEL_INSTRUMENTATION__SQLALCHEMY": setting,
        "MITA_OTEL_THRESHOLDS__CHECKOUT__LIMIT_MS": "0.0001",
    }
    answer = run(tmp_path, APPLICATION.replace("HOW", repr(how)), env).answer
    statements = {
        name.removeprefix("SELECT ").removesuffix(".db"): by
        for name, by in answer["spans"]
        if name != "connect"
    }
    assert sorted(name for name, _ in answer["spans"] if name != "connect") == sorted(
        f"SELECT {name}.db" for name in EVERY
    )
    assert [name for name, _ in answer["spans"]].count("connect") == len(EVERY)
    by_contrib = [name for name, by in statements.items() if by == "opentelemetry"]
    assert sorted(by_contrib) == sorted(EVERY if setting == "contrib" else BY_APPLICATION[how])
    stay = [] if setting == "contrib" and how in {"afterwards", "both"} else BY_APPLICATION[how]
    assert sorted(answer["stay"]) == sorted(stay)


# --- without the package ------------------------------------------------------------------------------
def test_without_the_contrib_package_one_line_is_logged_and_the_native_one_used(tmp_path: Path) -> None:
    code = """
        import sys
        sys.modules["opentelemetry.instrumentation.sqlalchemy"] = None
        import mita_otel
        from mita_otel.exporters.memory import MemorySpanExporter
        memory = MemorySpanExporter(10)
        telemetry = mita_otel.configure(exporters=[memory])
        from sqlalchemy import create_engine, text
        engine = create_engine("sqlite://")
        telemetry.instrument(engine=engine)
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
        telemetry.shutdown()
        answer([[span.name, span.instrumentation_scope.name] for span in memory.spans])
    """
    ran = run(tmp_path, code, {**CONTRIB})
    assert ran.answer == [["SELECT", "mita_otel.instrumentation.sqlalchemy"]]
    [line] = ran.log("contrib")
    assert line.endswith("Fix: pip install 'mita-otel[contrib]'")


@pytest.mark.parametrize(("setting", "count"), [("true", 1), ("native", 1), ("false", 0), ("off", 0)])
def test_boolean_settings_enable_and_disable_the_instrumentation(
    tmp_path: Path, setting: str, count: int
) -> None:
    code = """
        import mita_otel
        from mita_otel.exporters.memory import MemorySpanExporter
        memory = MemorySpanExporter(10)
        telemetry = mita_otel.configure(exporters=[memory])
        from sqlalchemy import create_engine, text
        with create_engine("sqlite://").connect() as connection:
            connection.execute(text("SELECT 1"))
        telemetry.shutdown()
        answer(len(memory.spans))
    """
    ran = run(tmp_path, code, {"MITA_OTEL_INSTRUMENTATION__SQLALCHEMY": setting})
    assert ran.answer == count
    assert ran.log("ERROR") == []
