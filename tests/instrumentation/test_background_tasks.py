"""A background task has one span, with either instrumentation; without a request span it has none."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from typing import Any

import pytest

SCRIPT = textwrap.dedent(
    """
    import asyncio, json, sys
    from fastapi import BackgroundTasks, FastAPI
    import httpx
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    from mita_otel.instrumentation.fastapi import FastAPIInstrumentation
    from mita_otel.instrumentation.patches import Patches
    from mita_otel.policy import default_policy

    mode, operation_spans, telemetry = sys.argv[1], sys.argv[2] == "yes", json.loads(sys.argv[3])
    memory = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    trace.set_tracer_provider(provider)
    policy = default_policy().instrumentation.replace(
        fastapi=mode, fastapi_operation_spans=operation_spans
    )
    FastAPIInstrumentation(policy, Patches()).install()
    app = FastAPI(**telemetry)

    def settle():
        pass

    async def fail():
        raise LookupError("card 4111111111111111")

    @app.get("/pay")
    def pay(tasks: BackgroundTasks):
        tasks.add_task(settle)
        tasks.add_task(fail)

    async def main():
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            assert (await client.get("/pay")).status_code == 200

    asyncio.run(main())
    spans = memory.get_finished_spans()
    server = next((s.context for s in spans if s.kind.name == "SERVER"), None)
    print(json.dumps([
        {
            "function": s.attributes.get("code.function.name", s.name.removeprefix("BackgroundTask ")),
            "error": s.attributes.get("error.type"),
            "status": s.status.status_code.name,
            "text": s.to_json(),
            "child": server is not None and s.parent is not None and s.parent.span_id == server.span_id,
        }
        for s in spans
        if "ackground" in s.name
    ]))
    """
)


def tasks_of(
    mode: str, operation_spans: bool = False, telemetry: dict[str, Any] | None = None
) -> list[dict[str, Any]]:
    """Return the spans of a request's two background tasks, the second of which fails."""
    said = {"telemetry": telemetry} if telemetry else {}
    arguments = [mode, "yes" if operation_spans else "no", json.dumps(said)]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(
    ("mode", "operation_spans", "telemetry"),
    [
        ("native", False, {}),
        ("native", True, {}),
        ("native", False, {"operation_spans": True}),
        ("contrib", False, {}),
    ],
)
def test_each_task_has_one_span(mode: str, operation_spans: bool, telemetry: dict[str, Any]) -> None:
    spans = tasks_of(mode, operation_spans, telemetry)
    assert [span["function"].rpartition(".")[2] for span in spans] == ["settle", "fail"]
    assert [span["status"] for span in spans] == ["UNSET", "ERROR"]
    assert all(span["child"] for span in spans)


def test_a_failed_task_has_the_error_type_without_the_message() -> None:
    done, failed = tasks_of("native")
    assert (done["function"], done["error"]) == ("__main__.settle", None)
    assert failed["error"] == "LookupError"
    assert "4111111111111111" not in failed["text"]


def test_tasks_of_an_application_without_tracing_have_no_span() -> None:
    assert tasks_of("native", telemetry={"tracing": False}) == []
    assert tasks_of("off") == []
