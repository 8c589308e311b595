"""Health endpoints of a service under uvicorn, with a mobile gateway whose Sentry is unavailable at times."""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from e2e.receiver import Receiver
from e2e.service import Service
from mobile.kit import AUTH, ENVELOPE, KEY, recorded_now

pytestmark = pytest.mark.e2e

Start = Callable[..., Service]
TOKEN = "the-token-of-the-test"
UPSTREAM_KEY = "aaaaaaaaaaaaaaaa"

APP = """
from fastapi import FastAPI

import mita_otel

app = FastAPI()
app.include_router(mita_otel.mobile_router())
app.include_router(mita_otel.health_router())
"""

POLICY = """
[mobile.projects.app]
id = "42"
keys = ["{key}"]
upstream = "{dsn}"

[mobile.intake]
news_s = 0.1

[mobile.forward]
retry_first_s = 0.1
retry_max_s = 0.2

[health]
cache_s = 0
stale_s = {stale_s}
"""


@pytest.fixture
def start(start_service: Start, receiver: Receiver, tmp_path: Path) -> Start:
    folder = tmp_path / "health"
    folder.mkdir()
    (folder / "app.py").write_text(APP)

    def run(stale_s: float = 300) -> Service:
        dsn = receiver.dsn.replace("publickey", UPSTREAM_KEY)
        (folder / "mita-otel.toml").write_text(POLICY.format(key=KEY, dsn=dsn, stale_s=stale_s))
        return start_service({"MITA_OTEL_HEALTH_TOKEN": TOKEN}, folder)

    return run


def post(service: Service) -> None:
    headers = {**AUTH, "content-encoding": "gzip"}
    body = gzip.compress(recorded_now("payment_error"))
    assert service.client.post(ENVELOPE, content=body, headers=headers).status_code == 200


def asked(service: Service, path: str, *, token: str = TOKEN) -> tuple[int, dict[str, Any]]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    answer = service.client.get(path, headers=headers)
    assert answer.headers["content-type"] == "application/health+json"
    return answer.status_code, answer.json()


def until(service: Service, name: str, status: str) -> dict[str, Any]:
    """Poll until a check has the expected status, and return it."""
    deadline = time.monotonic() + 60
    while True:
        [check] = asked(service, "/api/health/error-monitoring")[1]["checks"][name]
        if check["status"] == status:
            return dict(check)
        assert time.monotonic() < deadline, (check, service.said)


def test_health_shows_waiting_mobile_records_until_sentry_recovers(start: Start, receiver: Receiver) -> None:
    receiver.behaviour = 503
    service = start()
    assert until(service, "mobile:spool", "pass")["observedValue"]["records"] == 0
    post(service)
    trouble = until(service, "mobile:destinations", "warn")
    assert "nothing is taken by sentry/app" in trouble["output"]
    spool = until(service, "mobile:spool", "pass")["observedValue"]
    assert (spool["records"], spool["waiting"]) == (1, {"error": 1})
    assert spool["bytes"] > 0
    # A warning leaves the service in traffic.
    assert asked(service, "/api/health/sentry")[0] == 200
    status, public = asked(service, "/api/health/error-monitoring", token="")
    assert (status, public["checks"]["mobile:destinations"]) == (200, [{"status": "warn"}])
    for hidden in ("127.0.0.1", str(receiver.port), UPSTREAM_KEY, KEY, "sentry/app", "output"):
        assert hidden not in str(public)
    receiver.behaviour = "ok"
    until(service, "mobile:destinations", "pass")
    receiver.wait_for(lambda one: one.events)
    assert UPSTREAM_KEY not in str(asked(service, "/api/health/error-monitoring")[1])


def test_a_long_outage_of_the_apps_sentry_fails_health_but_not_readiness(
    start: Start, receiver: Receiver
) -> None:
    receiver.behaviour = 503
    service = start(stale_s=0.3)
    post(service)
    until(service, "mobile:destinations", "fail")
    assert asked(service, "/health/sentry")[0] == 503
    assert asked(service, "/health/ready")[0] == asked(service, "/health/live")[0] == 200


def test_permanently_rejected_mobile_records_are_a_loss_with_the_reason(
    start: Start, receiver: Receiver
) -> None:
    receiver.behaviour = 413
    service = start()
    post(service)
    lost = until(service, "mobile:losses", "warn")
    assert lost["output"] == "lost recently: rejected_status_413"
    assert lost["observedValue"] == {"rejected_status_413: error": 1}
