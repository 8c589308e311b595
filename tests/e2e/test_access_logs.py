"""A secret in path and query is in no output of a service whose server writes its access log."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2e.conftest import StartService
from e2e.service import Launcher

pytestmark = pytest.mark.e2e

CARD = "4111111111111111"
TOKEN = "9f8e7d6c5b4a"
PATH = f"/api/cards/{CARD}"
APP = """
from fastapi import FastAPI

app = FastAPI()


@app.get("/api/cards/{number}")
def card(number: str) -> dict[str, str]:
    return {}
"""


@pytest.fixture
def app_folder(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(APP)
    return tmp_path


@pytest.mark.parametrize("launcher", ["single", "gunicorn"])
def test_access_logs_show_requests_without_their_secrets(
    start_service: StartService, launcher: Launcher
) -> None:
    service = start_service(launcher=launcher, access_log=True)
    service.client.get(PATH, params={"token": TOKEN, "page": 2}).raise_for_status()
    service.client.get(f"/nowhere/{CARD}")
    service.stop()
    assert '"GET /api/cards/[redacted:pan]?token=[redacted:token]&page=2 HTTP/1.1" 200' in service.said
    assert '"GET /nowhere/[redacted:pan] HTTP/1.1" 404' in service.said
    assert "Logging error" not in service.said
    assert CARD not in service.said
    assert TOKEN not in service.said


def test_the_policy_can_leave_access_logs_unredacted(start_service: StartService) -> None:
    env = {"MITA_OTEL_INSTRUMENTATION__ACCESS_LOG": "off", "OTEL_TRACES_EXPORTER": "none"}
    service = start_service(env, access_log=True)
    service.client.get(PATH).raise_for_status()
    service.stop()
    assert f'"GET {PATH} HTTP/1.1" 200' in service.stdout.text
