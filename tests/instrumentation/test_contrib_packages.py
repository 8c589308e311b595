"""Spans of contrib packages for HTTP clients and drivers have good names, and are measured and redacted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from alerts.receivers import HttpReceiver
from e2e.script import run_script

CARD = "4111111111111111"
WORD = "Hunter2secret"

START = """
    import mita_otel
    from mita_otel.exporters.memory import MemorySpanExporter
    from mita_otel.sentry import describe

    memory = MemorySpanExporter(100)
    telemetry = mita_otel.configure(exporters=[memory])
"""
END = """
    telemetry.flush()
    database = mita_otel.get_performance_summary()["categories"]
    answer({
        "spans": [[span.name, describe(span).op, describe(span).description] for span in memory.spans],
        "text": str([[span.name, dict(span.attributes), span.status.description, str(span.events)] for span in memory.spans]),
        "operations": sorted(name for kind in database.values() for name in kind["operations"]),
    })
    telemetry.shutdown()
"""


def spans_of(folder: Path, work: str, env: dict[str, str | None]) -> dict[str, Any]:
    result: dict[str, Any] = run_script(START + work + END, folder, env).answer
    assert CARD not in result["text"]
    assert WORD not in result["text"]
    return result


@pytest.mark.parametrize("opt_in", [None, "http"])
@pytest.mark.parametrize("library", ["requests", "httpx", "urllib3"])
def test_outgoing_requests_are_measured_by_method_and_host_and_redacted(
    tmp_path: Path, library: str, opt_in: str | None
) -> None:
    pytest.importorskip(f"opentelemetry.instrumentation.{library}", exc_type=ImportError)
    receiver = HttpReceiver()
    url = f"{receiver.url}/api/cards/{CARD}?token={WORD}&card={CARD}"
    work = f"""
    import {library}
    from opentelemetry.instrumentation import {library} as package
    [instrumentor] = [
        getattr(package, name) for name in ("RequestsInstrumentor", "HTTPXClientInstrumentor", "URLLib3Instrumentor")
        if hasattr(package, name)
    ]
    instrumentor().instrument()
    post = urllib3.PoolManager().request if "{library}" == "urllib3" else {library}.request
    post("POST", "{url}", headers={{"Authorization": "Bearer {WORD}"}})
    """
    result = spans_of(tmp_path, work, {"OTEL_SEMCONV_STABILITY_OPT_IN": opt_in})
    receiver.close()
    assert len(receiver.posted) == 1
    place = f"{receiver.url}/api/cards/[redacted:pan]"
    assert result["spans"] == [["POST", "http.client", f"POST {place}"]]
    assert result["operations"] == ["POST 127.0.0.1"]


@pytest.mark.parametrize("opt_in", [None, "database"])
def test_statements_of_psycopg_are_named_by_verb_and_table(
    tmp_path: Path, postgresql_url: str, opt_in: str | None
) -> None:
    pytest.importorskip("opentelemetry.instrumentation.psycopg", exc_type=ImportError)
    work = f"""
    from opentelemetry.instrumentation.psycopg import PsycopgInstrumentor
    PsycopgInstrumentor().instrument(capture_parameters=True)
    import psycopg
    with psycopg.connect("{postgresql_url.replace("+psycopg", "")}") as connection:
        connection.execute("CREATE TABLE payments (id INTEGER, note TEXT)")
        connection.execute("INSERT INTO payments VALUES (%s, %s)", (1, "{WORD}"))
        connection.execute("SELECT'{WORD}' FROM payments WHERE note = '{CARD}'")
        connection.execute("-- nightly\\n(SELECT 1 FROM payments)")
        try:
            connection.execute("SELECT note FROM nowhere WHERE note = '{WORD}'")
        except psycopg.Error:
            pass
    """
    result = spans_of(tmp_path, work, {"OTEL_SEMCONV_STABILITY_OPT_IN": opt_in})
    names = ["CREATE payments", "INSERT payments", "SELECT payments", "SELECT payments", "SELECT nowhere"]
    assert [name for name, _, _ in result["spans"]] == names
    assert {op for _, op, _ in result["spans"]} == {"db"}
    assert result["spans"][2][2] == "SELECT? FROM payments WHERE note = ?"
    assert result["operations"] == sorted(set(names))


@pytest.mark.parametrize("source", ["native", "contrib"])
@pytest.mark.parametrize(
    ("driver", "instrumentor", "url"),
    [
        ("sqlite3", "SQLite3Instrumentor", "sqlite:///bank.db"),
        ("psycopg", "PsycopgInstrumentor", "postgresql"),
        ("sqlite3", "SQLite3Instrumentor", "sqlite+aiosqlite:///bank.db"),
    ],
)
def test_a_statement_measured_by_sqlalchemy_and_its_driver_counts_once(
    tmp_path: Path, request: pytest.FixtureRequest, driver: str, instrumentor: str, url: str, source: str
) -> None:
    """The packages of drivers are not in the development group: services that the tests launch would have their spans."""
    pytest.importorskip(f"opentelemetry.instrumentation.{driver}", exc_type=ImportError)
    if url == "postgresql":
        url = request.getfixturevalue("postgresql_url")
    work = f"""
    from opentelemetry import trace
    from opentelemetry.instrumentation.{driver} import {instrumentor}
    {instrumentor}().instrument()
    import asyncio, contextlib, sqlalchemy
    from sqlalchemy.ext.asyncio import create_async_engine

    def run(connection):
        with trace.get_tracer("test").start_as_current_span("request"):
            for id in range(7):
                connection.execute(sqlalchemy.text("SELECT :id + 1"), {{"id": id}})
            with contextlib.suppress(sqlalchemy.exc.DBAPIError):
                connection.execute(sqlalchemy.text("SELECT * FROM nowhere"))

    async def run_async():
        engine = create_async_engine("{url}")
        async with engine.connect() as connection:
            await connection.run_sync(run)
        await engine.dispose()

    if "aiosqlite" in "{url}":
        asyncio.run(run_async())
    else:
        with sqlalchemy.create_engine("{url}").connect() as connection:
            run(connection)
    telemetry.flush()
    database = mita_otel.get_performance_summary()["categories"]["database"]
    answer({{
        "spans": sum(any(text in str(dict(span.attributes)) for text in ("+ 1", "+ ?", "nowhere")) for span in memory.spans if span.kind.name == "CLIENT"),
        "repeated": [dict(span.attributes).get("mita.repeated_queries.count") for span in memory.spans if span.name == "request"],
        "counted": {{name: [one["count"], one["errors"]] for name, one in database["operations"].items() if name.startswith("SELECT")}},
    }})
    telemetry.shutdown()
    """
    env = {
        "MITA_OTEL_INSTRUMENTATION__SQLALCHEMY": source,
        "MITA_OTEL_THRESHOLDS__REPEATED_QUERIES__MAX_REPEATS": "6",
    }
    result: dict[str, Any] = run_script(START + work, tmp_path, env).answer
    assert result["repeated"] == [7]
    assert result["spans"] == 16
    assert result["counted"]["SELECT nowhere"] == [1, 1]
    assert sum(count for count, _ in result["counted"].values()) == 8 + ("postgresql" in url and 2)
