"""Envelopes of errors contain the sampling context of their trace, as envelopes of transactions do."""

from __future__ import annotations

import logging
from pathlib import Path

import httpx
import pytest
import sentry_sdk
from fastapi import FastAPI

from closing import Closing
from e2e.receiver import Receiver
from mita_otel import capture_financial_error, configure


def service() -> FastAPI:
    app = FastAPI()

    @app.get("/crash")
    async def crash() -> None:
        raise ValueError("no")

    @app.get("/logged")
    async def logged() -> None:
        logging.getLogger("bank").error("no")

    @app.get("/captured")
    async def captured() -> None:
        sentry_sdk.capture_message("no", level="error")

    @app.get("/api/payments/financial")
    async def financial() -> None:
        capture_financial_error(ValueError("no"))

    return app


@pytest.mark.parametrize("joined", [False, True], ids=["our client", "the service's client"])
async def test_each_error_of_a_request_has_the_trace_header(
    isolated_telemetry: None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    closing: Closing,
    joined: bool,
) -> None:
    monkeypatch.chdir(tmp_path)
    receiver = closing(Receiver())
    monkeypatch.setenv("SENTRY_DSN", receiver.dsn)
    if joined:
        sentry_sdk.init(dsn=receiver.dsn, auto_enabling_integrations=False)
    telemetry = configure(environment="test")
    transport = httpx.ASGITransport(service(), raise_app_exceptions=False)
    headers = {"baggage": "sentry-public_key=theirs,sentry-trace_id=" + "a" * 32}
    async with httpx.AsyncClient(transport=transport, base_url="http://bank.example") as client:
        for path in ("/crash", "/logged", "/captured", "/api/payments/financial"):
            await client.get(path)
        await client.get("/crash", headers={"sentry-trace": f"{'a' * 32}-{'b' * 16}-1", **headers})
    assert telemetry.flush(30)
    found = {
        item.json()["contexts"]["trace"]["trace_id"]: (one.header.get("trace"), item.json())
        for one in receiver.requests
        for item in one.items
        if item.type == "event"
    }
    assert len(found) == 5
    for trace_id, (header, event) in found.items():
        assert header is not None
        assert header["trace_id"] == trace_id
        assert header["public_key"] == ("theirs" if trace_id == "a" * 32 else "publickey")
        assert "dynamic_sampling_context" not in event["contexts"]["trace"]
    sentry_sdk.get_client().close(timeout=0)
