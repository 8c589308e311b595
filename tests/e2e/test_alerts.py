"""Alerts of a service with several workers: counted once across processes, told once, kept over a restart."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from alerts.receivers import HttpReceiver
from e2e.script import run_script
from e2e.service import clean_environment
from leaks import shows

pytestmark = pytest.mark.e2e

WORKER = """
    import sys, mita_otel
    telemetry = mita_otel.configure()
    print("ready", flush=True)
    for line in sys.stdin:
        if line.startswith("fail"):
            mita_otel.capture_payment_error(ValueError("declined: 4111 1111 1111 1111"), severity="high")
        telemetry.flush()
        print("done", flush=True)
"""


class Worker:
    """A process of the service that fails when it is told to."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(WORKER)],
            cwd=folder,
            env=clean_environment({"OTEL_SERVICE_NAME": "bank", "OTEL_TRACES_EXPORTER": "none", **env}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.expect("ready")

    def expect(self, said: str) -> None:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.strip() == said, line

    def tell(self, what: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{what}\n")
        self.process.stdin.flush()
        self.expect("done")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(60)
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()


@pytest.fixture
def receiver() -> Iterator[HttpReceiver]:
    receiver = HttpReceiver()
    yield receiver
    receiver.close()


def test_three_failures_in_two_processes_are_told_once_and_a_restart_tells_nothing_again(
    tmp_path: Path, receiver: HttpReceiver, database_url: str
) -> None:
    env = {
        "MITA_OTEL_DATABASE_URL": database_url,
        "SLACK_FINANCE_WEBHOOK": receiver.url,
        "MITA_OTEL_ALERTS__EVALUATE_S": "0.2",
        "MITA_OTEL_ALERTS__LEASE_S": "5",
    }
    one, other = Worker(tmp_path, env), Worker(tmp_path, env)
    try:
        one.tell("fail")
        other.tell("fail")
        one.tell("look")
        other.tell("look")
        assert receiver.posted == []
        other.tell("fail")
        [posted] = receiver.wait_for(1)
        assert posted.json["text"] == "Payment processing failures: 3 events within 5 minutes"
        assert not shows(posted.body)
        one.tell("look")  # whichever delivered it has noted that
        other.tell("look")
    finally:
        one.kill()
        other.kill()
    after = Worker(tmp_path, env)
    try:
        after.tell("fail")
        for _ in range(3):
            after.tell("look")
    finally:
        after.kill()
    assert len(receiver.posted) == 1


def test_workers_that_only_count_leave_the_rest_to_the_command(
    tmp_path: Path, receiver: HttpReceiver
) -> None:
    env = {
        "MITA_OTEL_DATABASE_URL": f"sqlite:///{tmp_path}/alerts.db",
        "SLACK_FINANCE_WEBHOOK": receiver.url,
        "OTEL_SERVICE_NAME": "bank",
        "OTEL_TRACES_EXPORTER": "none",
        "MITA_OTEL_ALERTS__START": "record",
    }
    code = """
        import mita_otel
        telemetry = mita_otel.configure()
        for _ in range(3):
            mita_otel.capture_payment_error(ValueError("declined"), severity="high")
        answer(telemetry.flush())
    """
    assert run_script(code, tmp_path, env).answer is True
    assert receiver.posted == []
    command = Path(sys.executable).with_name("mita-otel")
    running = subprocess.Popen([str(command), "alerts", "run"], cwd=tmp_path, env=clean_environment(env))
    try:
        receiver.wait_for(1)
    finally:
        running.terminate()
        assert running.wait(20) == 0
    assert len(receiver.posted) == 1


def test_a_service_without_the_extra_is_told_once_what_to_install(tmp_path: Path) -> None:
    code = """
        sys.modules["httpx"] = None
        import mita_otel
        telemetry = mita_otel.configure()
        for _ in range(3):
            mita_otel.capture_payment_error(ValueError("declined"), severity="high")
        answer(telemetry.flush())
    """
    env = {"SLACK_FINANCE_WEBHOOK": "https://hooks.slack.example/x", "OTEL_TRACES_EXPORTER": "none"}
    ran = run_script(code, tmp_path, env)
    assert len(ran.log("need httpx; install it with: pip install 'mita-otel[alerts]'")) >= 1
    assert "Traceback" not in ran.stderr
