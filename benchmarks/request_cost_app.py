"""The service that `request_cost.py` measures: one small request, two queries; watched by what WAY names."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import Any


def _nothing() -> None:
    """No telemetry."""


def _bare() -> None:
    """OpenTelemetry's SDK, and an exporter that does nothing."""
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

    class Nowhere(SpanExporter):
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            return SpanExportResult.SUCCESS

    _opentelemetry(Nowhere())


def _otlp() -> None:
    """OpenTelemetry's SDK, and its OTLP exporter over HTTP."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    _opentelemetry(OTLPSpanExporter())


def _opentelemetry(exporter: Any) -> None:
    """The SDK and the contrib instrumentations, as their documentation puts them together."""
    from opentelemetry import trace
    from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
    from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    FastAPIInstrumentor().instrument(skip_dep_check=True)
    SQLAlchemyInstrumentor().instrument(skip_dep_check=True)


def _sentry_sdk() -> None:
    """sentry-sdk's own tracing, with the integrations that it finds."""
    import sentry_sdk

    sentry_sdk.init(traces_sample_rate=1.0)


def _sentry_otlp() -> None:
    """OpenTelemetry's SDK, and sentry-sdk's integration that exports its spans to Sentry."""
    import sentry_sdk
    from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
    from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor
    from sentry_sdk.integrations.otlp import OTLPIntegration

    sentry_sdk.init(integrations=[OTLPIntegration()])
    FastAPIInstrumentor().instrument(skip_dep_check=True)
    SQLAlchemyInstrumentor().instrument(skip_dep_check=True)


def _ddtrace() -> None:
    """Datadog's tracer, with the integrations of the libraries that the service uses."""
    import ddtrace

    ddtrace.patch(fastapi=True, starlette=True, sqlalchemy=True)


def _mita_otel() -> None:
    """Ours; the environment says which exporter, protocol and sampling."""
    import mita_otel

    mita_otel.configure()


WAYS: dict[str, Callable[[], None]] = {
    "nothing": _nothing,
    "bare": _bare,
    "otlp": _otlp,
    "sentry-sdk": _sentry_sdk,
    "sentry-otlp": _sentry_otlp,
    "ddtrace": _ddtrace,
    "mita-otel": _mita_otel,
}


def make_app(way: str) -> Any:
    """Return the application, watched in one of the ways."""
    WAYS[way]()
    # Only now: some instrumentations patch what is imported later.
    from fastapi import FastAPI
    from sqlalchemy import create_engine, text
    from sqlalchemy.pool import StaticPool

    # FastAPI's own telemetry is a way of ours alone; the others bring another instrumentation, or none.
    quiet = {} if way == "mita-otel" else {"telemetry": {"tracing": False, "metrics": False, "logs": False}}
    app = FastAPI(**quiet)
    engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    with engine.begin() as connection:
        connection.execute(
            text("CREATE TABLE accounts (id INTEGER PRIMARY KEY, owner TEXT, balance NUMERIC)")
        )
        connection.execute(text("INSERT INTO accounts VALUES (1, 'Ada', 12.5), (2, 'Grace', 8)"))

    @app.get("/api/accounts/{account_id}/balance")
    def balance(account_id: int) -> dict[str, Any]:
        with engine.connect() as connection:
            row = connection.execute(
                text("SELECT owner, balance FROM accounts WHERE id = :id"), {"id": account_id}
            ).one()
            count = connection.execute(text("SELECT count(*) FROM accounts")).scalar()
        return {"owner": row.owner, "balance": float(row.balance), "of": count}

    @app.get("/cpu")
    async def cpu() -> float:
        """Seconds of CPU that this process has used so far, all its threads together."""
        return time.process_time()

    return app


app = make_app(os.environ.get("WAY", "nothing"))
