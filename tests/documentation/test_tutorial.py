"""Runs the steps of the tutorial."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest

from documentation.markdown import ROOT, blocks
from e2e.conftest import StartService, start_service  # noqa: F401 - a fixture
from e2e.script import run_script

pytestmark = pytest.mark.e2e

PAGE = ROOT / "docs" / "tutorial.md"
APP, WORKER = (block.code for block in blocks("python") if block.page == PAGE)
[POLICY] = (block.code for block in blocks("toml") if block.page == PAGE)
BALANCE = "/api/cards/4111111111111111/balance"


@pytest.fixture
def app_folder(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(APP)
    return tmp_path


def test_step_2_draws_the_breach_without_the_card_number(
    app_folder: Path,
    start_service: StartService,  # noqa: F811 - a fixture
) -> None:
    service = start_service(folder=app_folder, access_log=True)
    assert service.client.get(f"{BALANCE}?slow_s=0.35").json() == {"cents": 12050}
    service.stop()
    assert "GET /api/cards/{number}/balance 200" in service.stdout.text
    assert re.search(r"▲ \d+ ms > 300 ms  api\.financial\.GET", service.stdout.text)
    assert "url.path  /api/cards/[redacted:pan]/balance" in service.stdout.text
    assert "SELECT cards" in service.stdout.text
    assert '"GET /api/cards/[redacted:pan]/balance?slow_s=0.35 HTTP/1.1" 200 OK' in service.stdout.text
    assert "4111111111111111" not in service.said


def test_step_3_sets_the_limit_of_the_route(
    app_folder: Path,
    start_service: StartService,  # noqa: F811 - a fixture
) -> None:
    (app_folder / "mita-otel.toml").write_text(POLICY)
    service = start_service(folder=app_folder)
    response: httpx.Response = service.client.get(f"{BALANCE}?slow_s=0.5")
    response.raise_for_status()
    service.stop()
    assert re.search(
        r"▲ \d+ ms > 400 ms  api\.routes\.GET /api/cards/\{number\}/balance", service.stdout.text
    )


def test_step_5_draws_the_operation_of_the_worker(tmp_path: Path) -> None:
    ran = run_script(WORKER, tmp_path)
    assert re.search(r"▲ 1,3\d\d ms > 1,200 ms  financial\.payment_processing", ran.stdout)
    assert "note  paid with [redacted:pan]" in ran.stdout
