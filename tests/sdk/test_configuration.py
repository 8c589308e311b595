"""Repeated `configure()` and `shutdown()`: each run restores the process, and uses its own policy."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fastapi
import pytest
import sqlalchemy
import starlette.applications
import starlette.background
import starlette.middleware.exceptions
from opentelemetry import _logs, metrics, propagate, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sqlalchemy.pool import Pool

from mita_otel import configure
from mita_otel.exporters.memory import MemorySpanExporter
from mita_otel.policy import Policy, default_policy
from mita_otel.sdk.telemetry import Telemetry

pytestmark = pytest.mark.usefixtures("isolated_telemetry")

TIMES = 20
OTLP_LOGGERS = (
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "opentelemetry.exporter.http.transport",
    "urllib3.connectionpool",
)


def policy(get_limit_ms: float = 500) -> Policy:
    defaults = default_policy("development")
    methods = {**defaults.thresholds.api.methods, "GET": get_limit_ms}
    api = defaults.thresholds.api.replace(methods=methods)
    return defaults.replace(thresholds=defaults.thresholds.replace(api=api))


def process() -> dict[str, object]:
    """Return everything in this process that telemetry may change."""
    engine = sqlalchemy.create_engine("sqlite://")
    return {
        "tracer provider": trace.get_tracer_provider(),
        "meter provider": metrics.get_meter_provider(),
        "logger provider": _logs.get_logger_provider(),
        "propagator": propagate.get_global_textmap(),
        "FastAPI": vars(fastapi.FastAPI).copy(),
        "Starlette": vars(starlette.applications.Starlette).copy(),
        "ExceptionMiddleware": vars(starlette.middleware.exceptions.ExceptionMiddleware).copy(),
        "BackgroundTask": vars(starlette.background.BackgroundTask).copy(),
        "Pool": vars(Pool).copy(),
        "engine events": [
            len(list(one))
            for one in (
                engine.dispatch.before_cursor_execute,
                engine.dispatch.after_cursor_execute,
                engine.dialect.dispatch.handle_error,
            )
        ],
        "Thread": vars(threading.Thread).copy(),
        "Timer": vars(threading.Timer).copy(),
        "Logger": vars(logging.Logger).copy(),
        "root handlers": (*logging.root.handlers, logging.root.level),
        "filters": [list(logging.getLogger(name).filters) for name in OTLP_LOGGERS],
        "hooks": (sys.excepthook, threading.excepthook, sys.unraisablehook, sys.displayhook),
        "signals": [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)],
        "environment": dict(os.environ),
    }


def settled() -> dict[str, object]:
    """Return counts that grow if something is left open."""
    gc.collect()
    return {
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "files": open_files(),
    }


def open_files() -> list[str]:
    folder = Path("/proc/self/fd")
    if not folder.exists():
        return []
    return sorted(str(path.readlink()) for path in folder.iterdir() if path.is_symlink())


def serve(telemetry: Telemetry, tracer: trace.Tracer, duration_ms: int = 600) -> dict[str, Any]:
    """Create a span of a request, and return it from the memory exporter."""
    span = tracer.start_span(
        "GET /a",
        kind=trace.SpanKind.SERVER,
        attributes={"http.request.method": "GET", "http.route": "/a", "password": "hunter2"},
        start_time=10**18,
    )
    span.end(10**18 + duration_ms * 1_000_000)
    assert telemetry.flush(60)
    memory = telemetry.exporters["memory"]
    assert isinstance(memory, MemorySpanExporter)
    [found] = memory.spans
    return dict(found.attributes or {})


def test_telemetry_can_be_restarted_with_another_policy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "console")
    monkeypatch.setenv("OTEL_LOGS_EXPORTER", "none")
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "inf")
    monkeypatch.setenv("OTEL_PYTHON_FASTAPI_EXCLUDED_URLS", "(")
    early = trace.get_tracer("made before all of them")
    before, after_first = process(), None
    tracers = [early]
    for number in range(TIMES):
        limit_ms = 100.0 + number
        telemetry = configure(policy=policy(limit_ms), exporters=["memory"], service_name=f"service {number}")
        assert not telemetry.ended
        tracers.append(trace.get_tracer(f"made by the {number}th"))
        attributes = serve(telemetry, tracers[number % len(tracers)])
        assert attributes["mita.latency.limit_ms"] == limit_ms
        assert attributes["password"] != "hunter2"
        [span] = telemetry.exporters["memory"].spans  # type: ignore[attr-defined]
        assert span.resource.attributes["service.name"] == f"service {number}"
        assert telemetry.losses() == {}
        assert telemetry.shutdown(60)
        assert process() == before
        after_first = after_first or settled()
    assert settled() == after_first


def test_a_second_configuration_with_sqlalchemy_and_fastapi_measures_each_request_once() -> None:
    engine = sqlalchemy.create_engine("sqlite://")
    for _ in range(3):
        telemetry = configure(policy=policy(), exporters=["memory"])
        telemetry.instrument(engine=engine)
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text("SELECT 1"))
        assert telemetry.flush(60)
        assert len(telemetry.exporters["memory"].spans) == 1  # type: ignore[attr-defined]
        telemetry.shutdown(60)
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text("SELECT 1"))
    engine.dispose()


def test_the_processors_of_the_hosts_providers_are_restored() -> None:
    memory, late = InMemorySpanExporter(), InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    trace.set_tracer_provider(provider)
    tracer = trace.get_tracer("host")
    for number in range(3):
        telemetry = configure(policy=policy(), exporters=["memory"])
        if number == 1:
            provider.add_span_processor(SimpleSpanProcessor(late))
        serve(telemetry, tracer)
        telemetry.shutdown(60)
        assert trace.get_tracer_provider() is provider
    tracer.start_span("after", attributes={"password": "hunter2"}).end()
    assert [(span.attributes or {})["password"] for span in memory.get_finished_spans()] == [
        *["[redacted:password]"] * 3,
        "hunter2",
    ]
    assert len(late.get_finished_spans()) == 3
    assert "add_span_processor" not in vars(provider)
    provider.shutdown()


def test_a_failed_configuration_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise RuntimeError("broken")

    before = process()
    monkeypatch.setattr("mita_otel.sdk.composition.Lifecycle", fail)
    telemetry = configure(policy=policy(), exporters=["memory"])
    assert not telemetry.enabled
    assert process() == before


def test_shutdown_keeps_later_patches_of_other_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    telemetry = configure(policy=policy(), exporters=["memory"])
    ours: Callable[..., None] = fastapi.FastAPI.__init__
    seen: list[str] = []

    def init(self: fastapi.FastAPI, **kwargs: Any) -> None:
        seen.append("theirs")
        ours(self, **kwargs)

    monkeypatch.setattr(fastapi.FastAPI, "__init__", init)
    telemetry.shutdown(60)
    app = fastapi.FastAPI()
    assert (seen, app.user_middleware) == (["theirs"], [])


def test_the_redactor_stays_active_at_process_exit() -> None:
    memory = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    trace.set_tracer_provider(provider)
    telemetry = configure(policy=policy(), exporters=["memory"])
    assert telemetry.end_with_process(60)
    assert telemetry.ended
    trace.get_tracer("host").start_span("after", attributes={"password": "hunter2"}).end()
    assert [span.attributes for span in memory.get_finished_spans()] == []
    provider.shutdown()


def test_an_engine_has_one_listener_and_none_after_shutdown() -> None:
    def listeners() -> list[Any]:
        return list(sqlalchemy.create_engine("sqlite://").dispatch.before_cursor_execute)

    before = listeners()  # sentry-sdk's integration, if a test has started it, stays for the process
    telemetry = configure(policy=policy(), exporters=["memory"])
    assert len(listeners()) == len(before) + 1
    telemetry.shutdown(60)
    assert listeners() == before
