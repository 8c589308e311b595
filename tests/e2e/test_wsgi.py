"""Flask, Django and aiohttp services with spans of contrib packages, under `opentelemetry-instrument`.

Django is not in the development group: its package slows the start of every service that the tests launch. Install
`django opentelemetry-instrumentation-django opentelemetry-instrumentation-aiohttp-server` to run all tests.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from e2e.conftest import StartService
from e2e.receiver import Receiver
from e2e.relay import judge
from e2e.service import Service
from e2e.transactions import database_spans, named, requests, trace_of

pytestmark = pytest.mark.e2e

CARD = "4111111111111111"
WORD = "Hunter2secret"


@pytest.fixture(params=["flask", "django"])
def framework(request: pytest.FixtureRequest) -> str:
    pytest.importorskip(request.param)
    pytest.importorskip(f"opentelemetry.instrumentation.{request.param}", exc_type=ImportError)
    pytest.importorskip("waitress")
    name: str = request.param
    return name


@pytest.fixture
def service(framework: str, receiver: Receiver, start_service: StartService, tmp_path: Path) -> Service:
    folder = tmp_path / framework
    folder.mkdir()
    shutil.copy(Path(__file__).with_name(f"{framework}_app.py"), folder / "app.py")
    env = {
        "SENTRY_DSN": receiver.dsn,
        "DJANGO_SETTINGS_MODULE": "app",
        "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": None,
    }
    started: Service = start_service(env, folder, launcher="script")
    return started


def values(event: dict[str, Any]) -> list[tuple[str, str, bool]]:
    return [(one["type"], one["value"], one["mechanism"]["handled"]) for one in event["exception"]["values"]]


def test_requests_are_measured_by_route_and_redacted(
    framework: str, service: Service, receiver: Receiver
) -> None:
    slow = service.client.get(f"/api/accounts/7/balance?wait_s=0.32&card={CARD}&password={WORD}")
    assert slow.json() == {"balance": 1}
    crash = service.client.post(
        f"/api/payments/{CARD}?token={WORD}",
        json={"card": CARD},
        headers={
            "Authorization": f"Bearer {WORD}",
            "Cookie": f"sessionid={WORD}",
            "User-Agent": f"card {CARD}",
        },
    )
    assert crash.status_code == 500
    assert service.client.get("/refused").status_code == 503
    assert service.client.get("/logged").status_code == 200
    assert service.client.get("/failed").status_code == 500
    assert service.client.get(f"/nowhere/{CARD}").status_code == 404
    service.stop()

    receiver.wait_for(lambda r: len(requests(r)) >= 6 and len(r.events) >= 3)
    parameters = {
        "flask": ("<int:account_id>", "<reference>"),
        "django": ("<int:account_id>", "<str:reference>"),
    }
    account, reference = parameters[framework]
    [balance] = named(receiver, f"GET /api/accounts/{account}/balance")
    assert balance["tags"]["latency_rule"] == "api.financial.GET"
    assert len(database_spans(balance)) == 1
    [payment] = named(receiver, f"POST /api/payments/{reference}")
    assert payment["contexts"]["trace"]["status"] == "internal_error"
    for transaction in requests(receiver):
        judge(transaction)

    crashed, logged, failed = sorted(
        (event for event in receiver.events if "exception" in event),
        key=lambda event: str(event["transaction"]),
        reverse=True,
    )
    assert crashed["transaction"] == payment["transaction"]
    assert trace_of(crashed)["trace_id"] == trace_of(payment)["trace_id"]
    assert crashed["level"] == "error"
    assert values(crashed) == [("RuntimeError", "payment by [redacted:pan] failed", False)]
    assert values(logged) == [("ValueError", "no such account", True)]
    assert values(failed) == [("KeyError", "'no such card'", True)]
    # Django logs an error for each status of 500 and above, after the span. It is an issue if the error is not known.
    others = [event["logentry"]["formatted"] for event in receiver.events if "exception" not in event]
    assert others == {"flask": [], "django": ["Service Unavailable: /refused"]}[framework]
    for event in receiver.events:
        assert trace_of(event)["trace_id"] in {trace_of(one)["trace_id"] for one in requests(receiver)}
    for secret in (CARD, WORD):
        assert secret.encode() not in receiver.raw


AIOHTTP = """
import asyncio, sys
from aiohttp import web

async def pay(request):
    raise RuntimeError("payment failed")

async def main():
    app = web.Application()
    app.router.add_get("/pay", pay)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    address = runner.addresses[0]
    sys.stderr.write(f"running on http://127.0.0.1:{address[1]}\\nApplication startup complete\\n")
    await asyncio.Event().wait()

asyncio.run(main())
"""


def test_a_crash_under_aiohttp_is_one_issue(
    receiver: Receiver, start_service: StartService, tmp_path: Path
) -> None:
    pytest.importorskip("opentelemetry.instrumentation.aiohttp_server", exc_type=ImportError)
    (tmp_path / "app.py").write_text(AIOHTTP)
    env = {"SENTRY_DSN": receiver.dsn, "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": None}
    service: Service = start_service(env, tmp_path, launcher="script")
    assert service.client.get("/pay").status_code == 500
    service.stop()
    receiver.wait_for(lambda r: requests(r) and r.events)
    [event] = receiver.events
    [transaction] = requests(receiver)
    assert [value[:2] for value in values(event)] == [("RuntimeError", "payment failed")]
    assert trace_of(event)["trace_id"] == trace_of(transaction)["trace_id"]
    assert event["transaction"] == transaction["transaction"] == "GET /pay"
