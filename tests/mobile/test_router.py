"""The gateway over HTTP: its routes, mounted, included or standalone; CORS for web pages."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount

from e2e.receiver import Receiver
from mita_otel.mobile import MobileApp, MobileGateway
from mita_otel.mobile.asgi import router_of
from mobile.kit import AUTH, ENVELOPE, KEY, MakeApp, client_of, policy_with, recorded


# --- routes --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("path", [ENVELOPE, ENVELOPE.rstrip("/"), "/prefix" + ENVELOPE, "/a/b" + ENVELOPE])
async def test_envelopes_are_accepted_at_the_paths_of_a_dsn(make: MakeApp, path: str) -> None:
    async with client_of(make()) as client:
        answer = await client.post(path, content=recorded("payment_error"), headers=AUTH)
    assert answer.status_code == 200
    assert answer.json() == {"id": json.loads(recorded("payment_error").split(b"\n")[0])["event_id"]}
    assert answer.headers["content-type"] == "application/json"


async def test_a_key_in_the_query_is_accepted(make: MakeApp) -> None:
    async with client_of(make()) as client:
        query = f"?sentry_version=7&sentry_key={KEY}&sentry_client=sentry.javascript.browser%2F10.12.0"
        answer = await client.post(ENVELOPE + query, content=recorded("javascript_tunnel"))
    assert answer.status_code == 200


async def test_sentrys_javascript_sdk_can_use_the_tunnel(make: MakeApp) -> None:
    async with client_of(make()) as client:
        answer = await client.post("/tunnel", content=recorded("javascript_tunnel"))
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", ENVELOPE, 405),
        ("PUT", ENVELOPE, 405),
        ("DELETE", "/tunnel", 405),
        ("POST", "/", 404),
        ("POST", "/api/42/store/", 404),
        ("POST", "/api/42/minidump/", 404),
        ("POST", "/api//envelope/", 404),
        ("POST", "/api/../envelope/x", 404),
        ("POST", f"/api/{'9' * 65}/envelope/", 404),
        ("POST", "/api/42/envelope/extra", 404),
        ("POST", "/x" * 300 + ENVELOPE, 404),
        ("GET", "/healthz", 200),
        ("HEAD", "/healthz", 404),
    ],
)
async def test_other_methods_and_paths_are_refused(
    make: MakeApp, method: str, path: str, status: int
) -> None:
    async with client_of(make()) as client:
        answer = await client.request(method, path)
    assert answer.status_code == status


async def test_without_a_project_in_the_policy_every_request_is_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    policy = policy_with(tmp_path / "spool")
    policy = policy.replace(mobile=policy.mobile.replace(projects={}))
    app = MobileApp(MobileGateway(policy, env={}))
    assert "refuses every request" in caplog.text
    async with client_of(app) as client:
        assert (
            await client.post(ENVELOPE, content=recorded("payment_error"), headers=AUTH)
        ).status_code == 403
        assert (await client.post("/tunnel", content=recorded("javascript_tunnel"))).status_code == 403
    app.gateway.close(0)


async def test_a_websocket_is_closed(make: MakeApp) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        await asyncio.Event().wait()

    await make()({"type": "websocket", "path": ENVELOPE, "headers": []}, receive, send)
    assert sent == [{"type": "websocket.close", "code": 1000}]


# --- mounted and included -----------------------------------------------------------------------------------
async def test_the_gateway_can_be_mounted_in_another_application(make: MakeApp) -> None:
    outer = Starlette(routes=[Mount("/mobile", make())])
    async with client_of(outer) as client:
        assert (
            await client.post(f"/mobile{ENVELOPE}", content=recorded("logs"), headers=AUTH)
        ).status_code == 200
        assert (await client.get("/mobile/healthz")).json() == {"status": "pass"}


@pytest.mark.parametrize("prefix", ["", "/mobile"])
async def test_its_routes_can_be_included_in_a_fastapi_application(make: MakeApp, prefix: str) -> None:
    mobile = make()
    app = FastAPI()
    app.include_router(router_of(mobile), prefix=prefix)

    @app.get("/hello")
    async def hello() -> dict[str, str]:
        return {"hello": "world"}

    started = asyncio.Event()

    async with _lifespan(app, started), client_of(app) as client:
        assert mobile.gateway._runner is not None
        packed = gzip.compress(recorded("payment_error"))
        headers = {**AUTH, "content-encoding": "gzip"}
        assert (await client.post(f"{prefix}{ENVELOPE}", content=packed, headers=headers)).status_code == 200
        assert (
            await client.post(f"{prefix}/tunnel", content=recorded("javascript_tunnel"))
        ).status_code == 200
        assert (await client.get("/hello")).json() == {"hello": "world"}
        assert "envelope" not in (await client.get("/openapi.json")).text


async def test_a_standalone_gateway_starts_and_ends_with_its_server(
    make: MakeApp, receiver: Receiver
) -> None:
    app = make(receiver.dsn)
    async with _lifespan(app, asyncio.Event()), client_of(app) as client:
        assert app.gateway._runner is not None
        await client.post(ENVELOPE, content=recorded("payment_error"), headers=AUTH)
    assert receiver.events


# --- web pages -----------------------------------------------------------------------------------------------
ORIGIN = {"origin": "https://app.mita.example"}


@pytest.mark.parametrize(
    ("allowed", "said"),
    [
        ([], None),
        (["https://other.example"], None),
        (["https://app.mita.example"], "https://app.mita.example"),
        (["*"], "*"),
    ],
)
async def test_only_origins_in_the_policy_may_read_the_response(
    make: MakeApp, allowed: list[str], said: str | None
) -> None:
    async with client_of(make(cors={"origins": allowed})) as client:
        answer = await client.post("/tunnel", content=recorded("javascript_tunnel"), headers=ORIGIN)
        assert answer.status_code == 200
        assert answer.headers.get("access-control-allow-origin") == said
        if said:
            assert "x-sentry-rate-limits" in answer.headers["access-control-expose-headers"]
        asked = {
            **ORIGIN,
            "access-control-request-method": "POST",
            "access-control-request-headers": "x-sentry-auth",
        }
        preflight = await client.options(ENVELOPE, headers=asked)
        assert preflight.headers.get("access-control-allow-origin") == said
        assert ("access-control-allow-headers" in preflight.headers) == bool(said)
        assert "access-control-allow-credentials" not in preflight.headers


async def test_a_refusal_has_cors_headers(make: MakeApp) -> None:
    async with client_of(make(cors={"origins": ["*"]})) as client:
        answer = await client.post("/tunnel", content=b"hello", headers=ORIGIN)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (400, "*")


@asynccontextmanager
async def _lifespan(app: Any, started: asyncio.Event) -> AsyncIterator[None]:
    stop, stopped = asyncio.Event(), asyncio.Event()

    async def receive() -> Any:
        if not started.is_set():
            return {"type": "lifespan.startup"}
        await stop.wait()
        return {"type": "lifespan.shutdown"}

    async def send(message: Any) -> None:
        assert "failed" not in message["type"], message
        (started if message["type"] == "lifespan.startup.complete" else stopped).set()

    task = asyncio.ensure_future(app({"type": "lifespan", "state": {}}, receive, send))
    await started.wait()
    yield
    stop.set()
    await stopped.wait()
    await task
