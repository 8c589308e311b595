"""Health endpoints at the guide's paths: in FastAPI, as a separate application, and mounted."""

from __future__ import annotations

import hmac
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount

import mita_otel
from mita_otel.sdk.health.endpoints import HealthApp

GUIDE = ["/api/health/sentry", "/api/health/error-monitoring", "/health/sentry"]
TOKEN = {"Authorization": "Bearer the-token-of-the-test"}


@pytest.fixture
def telemetry(
    isolated_telemetry: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> mita_otel.Telemetry:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MITA_OTEL_HEALTH_TOKEN", "the-token-of-the-test")
    monkeypatch.setenv("SENTRY_DSN", "https://publickey@o1.ingest.sentry.example/42")
    return mita_otel.configure(exporters=["sentry", "memory"], strict=True)


def on_fastapi() -> Any:
    app = FastAPI()
    app.include_router(mita_otel.health_router())
    return app


def mounted() -> Any:
    return Starlette(routes=[Mount("/", mita_otel.health_app())])


def mounted_below() -> Any:
    """Mounted under a prefix: paths are relative to it."""
    return Starlette(routes=[Mount("/internal", mita_otel.health_app())])


APPS: dict[str, tuple[Callable[[], Any], str]] = {
    "FastAPI": (on_fastapi, ""),
    "alone": (mita_otel.health_app, ""),
    "mounted": (mounted, ""),
    "mounted below": (mounted_below, "/internal"),
}


@pytest.fixture(params=APPS)
def client(request: pytest.FixtureRequest, telemetry: mita_otel.Telemetry) -> httpx.AsyncClient:
    make, prefix = APPS[request.param]
    return httpx.AsyncClient(transport=httpx.ASGITransport(make()), base_url=f"http://service{prefix}")


@pytest.mark.parametrize(
    "path", [*GUIDE, "/health/live", "/health/ready", "/api/health/ready", "/health/sentry/"]
)
async def test_every_path_answers_with_its_media_type(client: httpx.AsyncClient, path: str) -> None:
    async with client:
        answer = await client.get(path, follow_redirects=True)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/health+json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["status"] in {"pass", "warn"}


async def test_without_a_token_no_address_secret_or_version_is_shown(client: httpx.AsyncClient) -> None:
    async with client:
        shown = (await client.get("/api/health/error-monitoring")).text
    for hidden in (
        "sentry.example",
        "publickey",
        "the-token",
        "version",
        "sha256",
        "output",
        "observedValue",
    ):
        assert hidden not in shown


@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
async def test_with_the_token_details_are_shown(client: httpx.AsyncClient, scheme: str) -> None:
    async with client:
        headers = {"Authorization": f"{scheme} the-token-of-the-test"}
        shown = (await client.get("/api/health/error-monitoring", headers=headers)).json()
    assert len(shown["details"]["policy_sha256"]) == 64
    assert shown["checks"]["telemetry:losses"][0]["status"] == "pass"
    assert "publickey" not in str(shown)


@pytest.mark.parametrize(
    "value", ["", "Bearer", "Bearer ", "Bearer wrong", "Basic the-token-of-the-test", "Bearer é"]
)
async def test_a_wrong_token_shows_no_details(client: httpx.AsyncClient, value: str) -> None:
    async with client:
        answer = await client.get("/health/sentry", headers={b"Authorization": value.encode("latin-1")})
    assert "details" not in answer.json()


async def test_tokens_are_compared_in_constant_time(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return False

    monkeypatch.setattr(hmac, "compare_digest", compare)
    async with client:
        answer = await client.get("/health/sentry", headers=TOKEN)
    assert compared == [(b"the-token-of-the-test", b"the-token-of-the-test")]
    assert "details" not in answer.json()


async def test_an_unreadable_policy_does_not_break_an_unconfigured_service(
    isolated_telemetry: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "mita-otel.toml").write_text("[health]\nstale_s = 'soon'\n")
    monkeypatch.chdir(tmp_path)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(mita_otel.health_app()), base_url="http://s"
    ) as client:
        assert (await client.get("/health/live")).status_code == 200
        assert (await client.get("/api/health/sentry")).status_code == 503


async def test_without_a_configured_token_no_details_are_shown(
    telemetry: mita_otel.Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = HealthApp(telemetry, env={})
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as client:
        for headers in (TOKEN, {"Authorization": "Bearer "}):
            assert "details" not in (await client.get("/health/sentry", headers=headers)).json()


async def test_checks_run_off_the_event_loop(
    client: httpx.AsyncClient, telemetry: mita_otel.Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    health = telemetry.health
    assert health is not None
    on_loop: list[bool] = []
    report = health.report

    def looked(view: Any) -> Any:
        on_loop.append(threading.current_thread() is threading.main_thread())
        return report(view)

    monkeypatch.setattr(health, "report", looked)
    async with client:
        await client.get("/api/health/sentry")
    assert on_loop == [False]


async def test_other_paths_and_methods_are_refused(telemetry: mita_otel.Telemetry) -> None:
    app = mita_otel.health_app()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as client:
        assert (await client.get("/etc/passwd")).status_code == 404
        refused = await client.post("/health/sentry")
        assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")
        head = await client.head("/health/sentry")
        assert (head.status_code, head.content) == (200, b"")


async def test_a_service_without_telemetry_reports_it_and_stays_ready(
    isolated_telemetry: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    app = mita_otel.health_app()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as client:
        answer = await client.get("/health/sentry")
        assert (answer.status_code, answer.json()["status"]) == (503, "fail")
        assert (await client.get("/health/ready")).status_code == 200
        assert (await client.get("/health/live")).status_code == 200


async def test_the_lifespan_protocol_is_supported(telemetry: mita_otel.Telemetry) -> None:
    incoming = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    sent: list[Any] = []

    async def receive() -> Any:
        return incoming.pop(0)

    async def send(message: Any) -> None:
        sent.append(message["type"])

    await mita_otel.health_app()({"type": "lifespan"}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def test_the_policy_can_set_other_paths(telemetry: mita_otel.Telemetry, tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text('[health.paths]\nlive = ["/livez"]\n')
    policy = mita_otel.load_policy(tmp_path / "other.toml")

    class Other:
        health = telemetry.health

    other: Any = Other()
    other.policy = policy
    assert HealthApp(other).views["/livez"] == "live"
    assert "/health/live" not in HealthApp(other).views
