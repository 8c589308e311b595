"""Runs one service with the settings of three environments: exporters and limits."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from e2e.service import Output, clean_environment
from examples.conftest import EXAMPLES
from mita_otel.exporters.span_record import read_spans
from mita_otel.policy import load_policy

FOLDER = EXAMPLES / "environments"


@pytest.mark.parametrize(
    ("environment", "traces", "balance_ms", "login_ms", "email"),
    [
        ("development", ("console",), 600, 400, "off"),
        ("staging", ("sentry", "file"), 500, 400, "hmac"),
        ("production", ("sentry",), 300, 400, "mask"),
    ],
)
def test_each_environment_has_its_policy(
    environment: str, traces: tuple[str, ...], balance_ms: int, login_ms: int, email: str
) -> None:
    policy = load_policy(FOLDER / "mita-otel.toml", environment=environment, env={})
    assert policy.export.traces == traces
    assert policy.thresholds.api.financial["GET"].limit_ms == balance_ms
    assert policy.thresholds.api.routes["POST /api/auth/login"] == login_ms
    assert policy.redaction.modes["email"] == email
    assert policy.instrumentation.fastapi_operation_spans is (environment != "production")


class Started:
    """A process of `run NAME`, stopped by the test."""

    def __init__(self, name: str, folder: Path) -> None:
        changed = threading.Condition()
        self.process = subprocess.Popen(
            [FOLDER / "run", name, "--port", "0", "--no-access-log"],
            cwd=folder,
            env=clean_environment(
                {
                    "DATABASE_URL": f"sqlite:///{folder}/payments.db",
                    "MITA_OTEL_FILE": str(folder / "spans.jsonl"),
                    "PYTHONIOENCODING": "utf-8",
                }
            ),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            start_new_session=True,
        )
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.stdout, self.stderr = Output(self.process.stdout, changed), Output(self.process.stderr, changed)
        running = re.compile(r"running on (http://127\.0\.0\.1:\d+)")
        with changed:
            changed.wait_for(lambda: self.stderr.ended or running.search("\n".join(self.stderr.lines)), 30)
        found = running.search(self.stderr.text)
        assert found, self.stderr.text
        self.url = found[1]

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)
        self.stdout.join()
        self.stderr.join()

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(60)
        for output, stream in ((self.stdout, self.process.stdout), (self.stderr, self.process.stderr)):
            output.join()
            if stream is not None:
                stream.close()


@pytest.fixture
def started(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Started]:
    service = Started(request.param, tmp_path)
    yield service
    service.close()


def ask_for_a_slow_balance(service: Started) -> None:
    answer = httpx.get(f"{service.url}/api/accounts/1/balance", params={"simulate_ms": 520}, timeout=20)
    assert answer.status_code == 200
    service.stop()


@pytest.mark.e2e
@pytest.mark.parametrize("started", ["development"], indirect=True)
def test_development_draws_in_the_terminal_and_has_a_higher_limit(started: Started, tmp_path: Path) -> None:
    ask_for_a_slow_balance(started)
    assert "GET /api/accounts/{account_id}/balance 200" in started.stdout.text
    assert "fastapi.endpoint" in started.stdout.text
    assert not (tmp_path / "spans.jsonl").exists()


@pytest.mark.e2e
@pytest.mark.parametrize("started", ["staging"], indirect=True)
def test_staging_writes_a_file_and_has_a_lower_limit(started: Started, tmp_path: Path) -> None:
    ask_for_a_slow_balance(started)
    [balance] = [span for span in read_spans(tmp_path / "spans.jsonl") if span.kind == "SERVER"]
    assert balance.attributes["mita.latency.limit_ms"] == 500
    assert "SENTRY_DSN is not set" in started.stderr.text


@pytest.mark.e2e
@pytest.mark.parametrize("started", ["production"], indirect=True)
def test_production_without_a_dsn_logs_it_and_draws_nothing(started: Started) -> None:
    ask_for_a_slow_balance(started)
    assert "SENTRY_DSN is not set: nothing goes to Sentry, traces go to nothing" in started.stderr.text
    assert "trace" not in started.stdout.text
    assert "limit 300 ms (rule api.financial.GET" in started.stderr.text


def test_an_unknown_environment_is_rejected() -> None:
    ran = subprocess.run([FOLDER / "run", "prod"], capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert "development|staging|production" in ran.stderr
