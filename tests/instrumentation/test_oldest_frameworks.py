"""One service with the installed FastAPI and SQLAlchemy; `make test-lowest` installs the oldest."""

from __future__ import annotations

from pathlib import Path

from e2e.script import run_script

SERVICE = """
    import mita_otel
    from mita_otel.exporters.memory import MemorySpanExporter

    memory = MemorySpanExporter(100)
    telemetry = mita_otel.configure(exporters=[memory])
    from fastapi import FastAPI
    from sqlalchemy import create_engine, text

    engine, app = create_engine("sqlite://"), FastAPI()

    @app.get("/api/cards/{number}")
    def card(number: str) -> int:
        with engine.connect() as connection:
            return connection.execute(text("SELECT 4111111111111111 - 4111111111111110")).scalar()

    from fastapi.testclient import TestClient

    with TestClient(app) as client:
        assert client.get("/api/cards/4111111111111111").json() == 1
    telemetry.shutdown()
    answer([[span.name, span.kind.name, dict(span.attributes)] for span in memory.spans])
"""


def test_a_request_and_its_statement_are_one_redacted_trace(tmp_path: Path) -> None:
    spans = run_script(SERVICE, tmp_path).answer
    named = {(name, kind): attributes for name, kind, attributes in spans}
    assert named.keys() >= {("GET /api/cards/{number}", "SERVER"), ("SELECT", "CLIENT")}
    assert named["SELECT", "CLIENT"]["db.query.text"].endswith("- ?")
    assert "4111111111111111" not in str(spans)
