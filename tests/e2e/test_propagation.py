"""Requests of each HTTP client propagate the trace, and incoming requests continue it."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2e.conftest import StartService
from e2e.receiver import Receiver
from e2e.transactions import named, requests, trace_of

pytestmark = pytest.mark.e2e

_APP = """
import asyncio
import aiohttp, httpx, requests, urllib3
from fastapi import FastAPI, Request
app = FastAPI()

@app.get("/echo")
async def echo(request: Request):
    return dict(request.headers)

@app.get("/call/httpx")
def call_httpx(url: str):
    return httpx.get(url).json()

@app.get("/call/httpx-async")
async def call_httpx_async(url: str):
    async with httpx.AsyncClient() as client:
        return (await client.get(url)).json()

@app.get("/call/requests")
def call_requests(url: str):
    return requests.get(url, timeout=60).json()

@app.get("/call/urllib3")
def call_urllib3(url: str):
    return urllib3.request("GET", url).json()

@app.get("/call/aiohttp")
async def call_aiohttp(url: str):
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return await answer.json()
"""
EVERY_LIBRARY = {"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": None}
CLIENTS = ("httpx", "httpx-async", "requests", "urllib3", "aiohttp")


def members(header: str) -> dict[str, str]:
    return dict(one.strip().split("=", 1) for one in header.split(","))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "caller"
    folder.mkdir()
    (folder / "app.py").write_text(_APP)
    return folder


def test_every_client_propagates_the_trace_and_the_other_service_continues_it(
    receiver: Receiver, start_service: StartService, folder: Path
) -> None:
    env = {"SENTRY_DSN": receiver.dsn, "SENTRY_RELEASE": "bank@1.0", **EVERY_LIBRARY}
    caller = start_service({**env, "OTEL_SERVICE_NAME": "caller"}, folder)
    callee = start_service({**env, "OTEL_SERVICE_NAME": "callee"}, folder)
    seen = {
        client: caller.client.get(
            f"/call/{client}", params={"url": f"http://127.0.0.1:{callee.port}/echo"}
        ).json()
        for client in CLIENTS
    }
    caller.stop()
    callee.stop()
    receiver.wait_for(lambda r: len(requests(r)) >= 2 * len(CLIENTS))

    for client, headers in seen.items():
        [sent] = named(receiver, f"GET /call/{client}")
        trace_id = trace_of(sent)["trace_id"]
        [outgoing] = [span for span in sent["spans"] if span["op"] == "http.client"]
        assert headers["traceparent"].split("-")[1:3] == [trace_id, outgoing["span_id"]], client
        assert headers["sentry-trace"].split("-")[:2] == [trace_id, outgoing["span_id"]], client
        items = members(headers["baggage"])
        assert items["sentry-trace_id"] == trace_id
        assert items["sentry-public_key"] == "publickey"
        assert items["sentry-release"] == "bank%401.0"
        assert items["sentry-transaction"] == f"GET%20%2Fcall%2F{client}"
        [continued] = [one for one in named(receiver, "GET /echo") if trace_of(one)["trace_id"] == trace_id]
        assert trace_of(continued)["parent_span_id"] == outgoing["span_id"]
        assert (sent["tags"]["component"], continued["tags"]["component"]) == ("caller", "callee")
    # Both parts of a trace have the sampling context of its head.
    heads = {
        header["trace"]["trace_id"]: header["trace"]["transaction"]
        for header in receiver.envelope_headers
        if header["trace"].get("transaction")
    }
    assert set(heads.values()) == {f"GET /call/{client}" for client in CLIENTS}


def test_requests_to_sentry_create_no_spans(
    receiver: Receiver, start_service: StartService, folder: Path
) -> None:
    service = start_service({"SENTRY_DSN": receiver.dsn, "MITA_OTEL_EXPORT__QUEUE__DELAY_MS": "1"}, folder)
    for _ in range(5):
        service.client.get("/echo")
        receiver.wait_for(requests)
    service.stop()
    assert {one["transaction"] for one in receiver.transactions} == {"GET /echo"}
    assert all("sentry-trace" not in one.headers for one in receiver.requests)


def test_a_trace_of_the_app_is_continued_with_its_sampling_context(
    receiver: Receiver, start_service: StartService, folder: Path
) -> None:
    service = start_service({"SENTRY_DSN": receiver.dsn}, folder)
    trace_id, span_id = "771a43a4192642f0b136d5159a501700", "b7ad6b7169203331"
    baggage = (
        f"sentry-trace_id={trace_id},sentry-public_key=app,sentry-release=app%402.0,sentry-sample_rate=0.5"
    )
    answer = service.client.get(
        "/call/httpx",
        params={"url": f"http://127.0.0.1:{service.port}/echo"},
        headers={"sentry-trace": f"{trace_id}-{span_id}-1", "baggage": baggage},
    ).json()
    service.stop()
    receiver.wait_for(lambda r: len(requests(r)) >= 2)
    assert {trace_of(one)["trace_id"] for one in requests(receiver)} == {trace_id}
    [first] = named(receiver, "GET /call/httpx")
    assert trace_of(first)["parent_span_id"] == span_id
    assert members(answer["baggage"]) == members(baggage)
    for header in receiver.envelope_headers:
        assert header["trace"]["public_key"] == "app"
        assert header["trace"]["release"] == "app@2.0"
        assert header["trace"]["sample_rate"] == "0.5"
