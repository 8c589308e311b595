"""An unhandled exception is one event of the request span, with either instrumentation."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import pytest

SCRIPT = textwrap.dedent(
    """
    import asyncio, json, sys
    import httpx
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    from mita_otel.instrumentation.fastapi import FastAPIInstrumentation
    from mita_otel.instrumentation.patches import Patches
    from mita_otel.policy import default_policy

    memory = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    trace.set_tracer_provider(provider)
    policy = default_policy().instrumentation.replace(
        fastapi=sys.argv[1], fastapi_operation_spans=False
    )
    FastAPIInstrumentation(policy, Patches()).install()
    from fastapi import FastAPI, HTTPException

    app, mounted = FastAPI(), FastAPI()
    app.mount("/mounted", mounted)

    @app.get("/fails")
    @mounted.get("/fails")
    def fails():
        raise RuntimeError("the ledger does not balance")

    @app.get("/missing")
    def missing():
        raise HTTPException(404)

    async def main():
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            answer = await client.get(sys.argv[2])
        spans = [span for span in memory.get_finished_spans() if span.kind.name == "SERVER"]
        events = [[event.name, dict(event.attributes)] for span in spans for event in span.events]
        print(json.dumps({"status": answer.status_code, "events": events}))

    asyncio.run(main())
    """
)


def ask(source: str, path: str) -> dict:
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT, source, path], capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


@pytest.mark.parametrize("path", ["/fails", "/mounted/fails"])
def test_an_unhandled_exception_is_recorded_once(path: str) -> None:
    answer = ask("native", path)
    assert answer["status"] == 500
    [[name, attributes]] = answer["events"]
    assert name == "exception"
    assert attributes["exception.type"] == "RuntimeError"
    assert attributes["exception.message"] == "the ledger does not balance"
    assert "in fails" in attributes["exception.stacktrace"]


def test_the_contrib_instrumentation_records_one_event() -> None:
    assert [name for name, _ in ask("contrib", "/fails")["events"]] == ["exception"]


def test_an_error_response_is_not_an_exception() -> None:
    assert ask("native", "/missing") == {"status": 404, "events": []}
