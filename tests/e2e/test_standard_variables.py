"""Standard OpenTelemetry variables keep their meaning; those without effect are logged once at the start."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2e.script import run_script

pytestmark = pytest.mark.e2e

APP = """
import mita_otel
telemetry = mita_otel.configure(exporters=["memory"])
from fastapi import FastAPI
from starlette.testclient import TestClient
app = FastAPI(**OPTIONS)
@app.get("/health/live")
def live(): return {}
@app.get("/orders/{number}")
def order(number: int): return {}
with TestClient(app) as client:
    for path in ("/health/live", "/orders/7", "/orders/8"):
        client.get(path).raise_for_status()
telemetry.flush()
answer([span.name for span in telemetry.exporters["memory"].spans if span.kind.name == "SERVER"])
"""
EXCLUDE = 'dict(telemetry={"exclude": lambda scope: scope["path"] == "/orders/8"})'


@pytest.mark.parametrize("variable", ["OTEL_PYTHON_FASTAPI_EXCLUDED_URLS", "OTEL_PYTHON_EXCLUDED_URLS"])
@pytest.mark.parametrize(
    ("source", "options", "served"), [("native", EXCLUDE, 1), ("native", "{}", 2), ("contrib", "{}", 2)]
)
def test_excluded_urls_are_not_measured(
    tmp_path: Path, variable: str, source: str, options: str, served: int
) -> None:
    env = {variable: "health/.*,metrics", "MITA_OTEL_INSTRUMENTATION__FASTAPI": source}
    ran = run_script(APP.replace("**OPTIONS", f"**{options}"), tmp_path, env=env)
    assert ran.answer == ["GET /orders/{number}"] * served


def test_a_variable_without_effect_is_logged_in_one_line(tmp_path: Path) -> None:
    env = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318",
        "OTEL_BSP_EXPORT_TIMEOUT": "100",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "SENTRY_ENVIRONMENT": "Stagging",
    }
    ran = run_script('import mita_otel; mita_otel.configure(exporters=["memory"])', tmp_path, env=env)
    lines = ran.stderr.splitlines()
    [unused] = [line for line in lines if "no effect" in line]
    assert "OTEL_EXPORTER_OTLP_ENDPOINT has no effect" in unused
    assert "OTEL_BSP_EXPORT_TIMEOUT has no effect" in unused
    assert "SCHEDULE_DELAY" not in unused
    [unknown] = [line for line in lines if "is unknown" in line]
    assert "'Stagging'" in unknown
