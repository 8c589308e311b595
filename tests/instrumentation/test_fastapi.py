"""One SERVER span per request, from FastAPI's own telemetry or from the contrib package."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from mita_otel.instrumentation.fastapi import fastapi_source
from mita_otel.policy import default_policy

SCRIPT = textwrap.dedent(
    """
    import asyncio, json, sys
    from fastapi import BackgroundTasks, Depends, FastAPI, WebSocket     # bound before instrumentation
    import httpx
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    from mita_otel.instrumentation.fastapi import FastAPIInstrumentation
    from mita_otel.instrumentation.patches import Patches
    from mita_otel.policy import default_policy

    mode, operation_spans, when, telemetry = sys.argv[1], sys.argv[2] == "yes", sys.argv[3], sys.argv[4]
    memory = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    trace.set_tracer_provider(provider)
    policy = default_policy().instrumentation.replace(
        fastapi=mode, fastapi_operation_spans=operation_spans
    )
    instrumentation = FastAPIInstrumentation(policy, Patches())
    if when == "before":
        instrumentation.install()
    elif when == "silent":
        instrumentation.silence()
    app = FastAPI(**({} if telemetry == "default" else {"telemetry": json.loads(telemetry)}))
    if when == "after" or (when == "silent" and mode != "off"):
        instrumentation.instrument(app)
        instrumentation.instrument(app)

    @app.get("/api/accounts/{number}/balance")
    async def balance(number: int):
        return {"balance": number}

    async def main():
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            assert (await client.get("/api/accounts/7/balance")).status_code == 200

    asyncio.run(main())
    print(json.dumps([[s.kind.name, s.name, s.instrumentation_scope.name] for s in memory.get_finished_spans()]))
    """
)


def spans_of(
    mode: str, operation_spans: bool = False, when: str = "before", telemetry: str = "default"
) -> list:
    import json

    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "ignore",
            "-c",
            SCRIPT,
            mode,
            "yes" if operation_spans else "no",
            when,
            telemetry,
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


SERVER = "GET /api/accounts/{number}/balance"


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("mode", "scope"),
    [("auto", "fastapi"), ("native", "fastapi"), ("contrib", "opentelemetry.instrumentation.fastapi")],
)
def test_a_request_is_one_server_span_without_internal_spans(mode: str, scope: str, when: str) -> None:
    assert spans_of(mode, when=when) == [["SERVER", SERVER, scope]]


def test_the_policy_can_enable_operation_spans() -> None:
    names = [name for _, name, _ in spans_of("native", operation_spans=True)]
    assert names[-1] == SERVER
    assert "fastapi.endpoint" in names


@pytest.mark.parametrize("when", ["before", "silent"])
def test_a_disabled_instrumentation_creates_no_span(when: str) -> None:
    """FastAPI's own telemetry creates spans with any provider, so it must be disabled explicitly."""
    assert spans_of("off", when=when) == []


def test_an_application_passed_to_instrument_is_measured_without_global_setup() -> None:
    assert spans_of("native", when="silent") == [["SERVER", SERVER, "fastapi"]]
    assert spans_of("contrib", when="silent") == [["SERVER", SERVER, "opentelemetry.instrumentation.fastapi"]]


def test_telemetry_settings_of_the_application_take_precedence() -> None:
    assert spans_of("native", telemetry='{"tracing": false}') == []
    assert len(spans_of("native", telemetry='{"operation_spans": true}')) > 1


@pytest.mark.parametrize(
    ("mode", "has_native", "source"),
    [
        ("auto", True, "native"),
        ("auto", False, "contrib"),
        ("native", True, "native"),
        ("native", False, "contrib"),
        ("contrib", True, "contrib"),
        ("contrib", False, "contrib"),
        ("off", True, "off"),
    ],
)
def test_the_policy_selects_the_source_of_fastapi_spans(mode: str, has_native: bool, source: str) -> None:
    policy = default_policy().instrumentation.replace(fastapi=mode)
    assert fastapi_source(policy, has_native) == source
