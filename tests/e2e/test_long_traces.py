"""Websockets, streams, background and detached tasks: no slow or failed span is lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from e2e.script import run_script

pytestmark = pytest.mark.e2e

APP = """
import asyncio, mita_otel
telemetry = mita_otel.configure(exporters=["file"])
from fastapi import BackgroundTasks, FastAPI, WebSocket
from fastapi.responses import StreamingResponse
from opentelemetry import trace
from sqlalchemy import create_engine, text
engine = create_engine("sqlite://")
tracer = trace.get_tracer("app")
app = FastAPI()
detached = set()

def query(number):
    with engine.connect() as connection:
        connection.execute(text(f"SELECT {number} AS a"))

@app.websocket("/ws")
async def ws(socket: WebSocket):
    await socket.accept()
    for number in range(3):
        query(number)
        await socket.send_text(str(number))
    with tracer.start_as_current_span("a failed step", record_exception=False) as span:
        span.set_status(trace.StatusCode.ERROR)
    await socket.close()

@app.get("/stream")
async def stream():
    async def chunks():
        for number in range(3):
            query(number)
            yield str(number)
        with tracer.start_as_current_span("a failed chunk") as span:
            span.set_status(trace.StatusCode.ERROR)
    return StreamingResponse(chunks())

def fails_later():
    with tracer.start_as_current_span("failed task") as span:
        span.set_status(trace.StatusCode.ERROR)

@app.get("/background")
async def background(tasks: BackgroundTasks):
    query(1)
    tasks.add_task(fails_later)

@app.get("/detached")
async def detach():
    async def later():
        await asyncio.sleep(0.2)
        fails_later()
    task = asyncio.create_task(later())
    detached.add(task)
    return {}

import httpx
from starlette.testclient import TestClient

async def ask():
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
        for path in ("/stream", "/background", "/detached"):
            assert (await client.get(path)).status_code == 200
            telemetry.flush()
        await asyncio.gather(*detached)

asyncio.run(ask())
with TestClient(app).websocket_connect("/ws") as socket:
    for number in range(3):
        assert socket.receive_text() == str(number)
    telemetry.flush()
telemetry.shutdown()
"""


def test_each_kind_of_long_trace_is_kept_completely(tmp_path: Path) -> None:
    file = tmp_path / "spans.jsonl"
    run_script(APP, tmp_path, {"MITA_OTEL_FILE": str(file), "MITA_OTEL_SAMPLING__MODE": None})
    traces: dict[str, list[dict[str, Any]]] = {}
    for line in file.read_text().splitlines():
        span = json.loads(line)
        traces.setdefault(span["trace_id"], []).append(span)
    found = {
        next((span["name"] for span in spans if span["parent_span_id"] is None), "?"): sorted(
            span["name"] for span in spans
        )
        for spans in traces.values()
    }
    queries = ["SELECT"] * 3
    assert {name: [one for one in names if one != name] for name, names in found.items()} == {
        "GET /stream": [*queries, "a failed chunk"],
        "GET /background": [*queries[:1], "failed task", "fastapi.background_task"],
        "GET /detached": ["failed task"],
        "WS /ws": [*queries, "a failed step"],
    }
