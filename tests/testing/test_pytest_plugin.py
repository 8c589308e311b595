"""The plugin in a real run of pytest: the fixture, the marker, several workers, asyncio."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = """
import asyncio
import mita_otel
import pytest
from opentelemetry import trace

tracer = trace.get_tracer("shop")  # as applications keep it

@pytest.mark.parametrize("number", range(6))
def test_one_test_sees_its_own_spans(mita, number):
    with tracer.start_as_current_span(f"pay {number}"):
        pass
    assert [span.name for span in mita.spans] == [f"pay {number}"]
    mita.assert_within_limits()

@pytest.mark.mita({"thresholds": {"financial": {"refund": 100}}}, environment="staging", deterministic=True)
def test_the_marker_has_the_arguments(mita):
    with mita_otel.monitor_financial_operation("refund"):
        mita.clock.advance(1)
    mita.assert_breached("financial.refund")
    assert mita.telemetry.environment == "staging"

async def test_asyncio(mita):
    with tracer.start_as_current_span("async"):
        await asyncio.sleep(0)
    assert [span.name for span in mita.spans] == ["async"]

def test_without_the_fixture_nothing_is_configured():
    assert isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)
"""


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_suite_uses_the_fixture(tmp_path: Path, workers: str) -> None:
    (tmp_path / "test_shop.py").write_text(TESTS, "utf-8")
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\naddopts = --strict-markers\nfilterwarnings = error\n",
        "utf-8",
    )
    environment = {**os.environ, "SENTRY_DSN": "https://key@127.0.0.1:9/1", "OTEL_TRACES_EXPORTER": "otlp"}
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", workers, "-p", "no:cacheprovider", "test_shop.py"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "9 passed" in run.stdout
