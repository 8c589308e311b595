"""N+1 queries and an exhausted connection pool are breaches, in a service without telemetry code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from e2e.script import run_script

pytestmark = pytest.mark.e2e


def spans_of(code: str, folder: Path, env: dict[str, str]) -> tuple[list[dict[str, Any]], Any]:
    file = folder / "spans.jsonl"
    ran = run_script(code, folder, {"MITA_OTEL_FILE": str(file), "MITA_OTEL_SAMPLING__MODE": None, **env})
    return [json.loads(line) for line in file.read_text().splitlines()], ran


def test_an_exhausted_pool_is_a_breach_and_keeps_its_trace(tmp_path: Path) -> None:
    spans, ran = spans_of(
        """
        import threading
        import mita_otel
        telemetry = mita_otel.configure(exporters=["file"])
        from opentelemetry import trace
        from sqlalchemy import create_engine, text
        from sqlalchemy.pool import QueuePool
        engine = create_engine("sqlite:///app.db", poolclass=QueuePool, pool_size=1, max_overflow=0)
        held = engine.connect()
        threading.Timer(1, held.close).start()
        with trace.get_tracer("t").start_as_current_span("request"):
            with engine.connect() as connection:
                connection.execute(text("SELECT 1"))
        telemetry.shutdown()
        """,
        tmp_path,
        {"MITA_OTEL_THRESHOLDS__CHECKOUT__LIMIT_MS": "20"},
    )
    by_name = {span["name"]: span for span in spans}
    assert set(by_name) == {"request", "connect", "SELECT app.db"}
    attributes = by_name["connect"]["attributes"]
    assert attributes["mita.latency.rule"] == "checkout.limit"
    assert attributes["mita.latency.kind"] == "checkout"
    assert by_name["connect"]["parent_span_id"] == by_name["request"]["span_id"]
    assert ran.log("connection check-out took")


def test_a_query_in_a_loop_is_a_breach_and_keeps_its_trace(tmp_path: Path) -> None:
    spans, ran = spans_of(
        """
        import mita_otel
        telemetry = mita_otel.configure(exporters=["file"])
        from opentelemetry import trace
        from sqlalchemy import create_engine, text
        engine = create_engine("sqlite://")
        with trace.get_tracer("t").start_as_current_span("request"), engine.connect() as connection:
            for number in range(12):
                connection.execute(text(f"SELECT {number} AS a"))
        telemetry.shutdown()
        """,
        tmp_path,
        {},
    )
    assert len(spans) == 13
    root = spans[-1]["attributes"]
    assert root["mita.repeated_queries.count"] == 12
    assert root["mita.repeated_queries.statement"] == "SELECT ? AS a"
    assert root["mita.sampling.reason"] == "breach"
    assert ran.log("ran the same statement 12 times, limit 10 (rule repeated_queries.max_repeats")
