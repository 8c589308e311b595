"""Alerts of a service with several workers: counted across processes, notified once, kept over a restart."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from alerts.receivers import HttpReceiver, Posted, Reply
from e2e.script import run_script
from e2e.service import Service, clean_environment
from leaks import shows
from mobile.kit import AUTH, KEY, PROJECT, RECORDED, UNREACHABLE

pytestmark = pytest.mark.e2e

COMMAND = Path(sys.executable).with_name("mita-otel")

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
    """A process of the service that fails on command."""

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

    def send(self, what: str) -> None:
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


def test_three_failures_in_two_processes_are_notified_once_despite_a_restart(
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
        one.send("fail")
        other.send("fail")
        one.send("look")
        other.send("look")
        assert receiver.posted == []
        other.send("fail")
        [posted] = receiver.wait_for(1)
        assert posted.json["text"] == "Payment processing failures: 3 events within 5 minutes"
        assert not shows(posted.body)
        one.send("look")  # by now the delivery is stored
        other.send("look")
    finally:
        one.kill()
        other.kill()
    after = Worker(tmp_path, env)
    try:
        after.send("fail")
        for _ in range(3):
            after.send("look")
    finally:
        after.kill()
    assert len(receiver.posted) == 1


PAGERDUTY = Reply(202, '{"status": "success", "message": "Event processed", "dedup_key": "x"}')

SERVICE = """
from fastapi import FastAPI

import mita_otel

app = FastAPI()


@app.post("/fails/{severity}")
async def fails(severity: str) -> None:
    mita_otel.capture_payment_error(ValueError("declined: 4111 1111 1111 1111"), severity=severity)
"""

COURSE = """
[alerts]
evaluate_s = 0.2
lease_s = 5

[alerts.delivery]
pagerduty_url = "{pagerduty}"
retry_first_s = 0.1

[alerts.rules.payment_processing_failures]
channels = ["finance_pagerduty"]
escalation = "payments"
quiet_s = {quiet_s}

[alerts.rules.critical_financial_errors]
channels = ["finance_slack"]

[alerts.escalations]
payments = [{{ after_minutes = {minutes}, channels = ["finance_slack"] }}]
"""


class Course:
    """A service under uvicorn, its policy and store, and an operator with the command line."""

    def __init__(self, folder: Path, start: Callable[..., Service], pagerduty: str, slack: str) -> None:
        self.folder = folder
        self._start = start
        self._pagerduty = pagerduty
        self._env = {
            "MITA_OTEL_DATABASE_URL": f"sqlite:///{folder}/store.db",
            "SLACK_FINANCE_WEBHOOK": slack,
            "PAGERDUTY_FINANCE_KEY": "k" * 32,
            "OTEL_SERVICE_NAME": "bank",
        }
        (folder / "app.py").write_text(SERVICE)

    def service(self, *, minutes: float, quiet_s: float) -> Service:
        """Start the service with an alert unacknowledged for `minutes`, or without events for `quiet_s`."""
        text = COURSE.format(pagerduty=self._pagerduty, minutes=minutes, quiet_s=quiet_s)
        (self.folder / "mita-otel.toml").write_text(text)
        return self._start(self._env, self.folder)

    def command(self, *arguments: str) -> str:
        done = subprocess.run(
            [str(COMMAND), "alerts", *arguments], cwd=self.folder, env=clean_environment(self._env), capture_output=True,
            text=True, timeout=60, check=False,
        )  # fmt: skip
        return done.stdout + done.stderr


def hears(pagerduty: HttpReceiver, action: str) -> None:
    """Wait until PagerDuty is notified. A notification in progress during a kill may arrive twice."""
    with pagerduty.changed:
        assert pagerduty.changed.wait_for(
            lambda: any(one.json["event_action"] == action for one in pagerduty.posted), 30
        )


def title(posted: Posted) -> str:
    return str(posted.json["blocks"][0]["text"]["text"]).partition(" ")[2]


def test_an_incident_is_escalated_and_resolved_over_two_restarts(
    tmp_path: Path, receiver: HttpReceiver, start_service: Callable[..., Service]
) -> None:
    """PagerDuty is busy at first; the next process continues with stored notifications at its start."""
    pagerduty = HttpReceiver(PAGERDUTY)
    pagerduty.replies = [Reply(429, "", {"Retry-After": "0"}), Reply(500, "")]
    course = Course(tmp_path, start_service, pagerduty.url, receiver.url)
    try:
        first = course.service(minutes=600, quiet_s=36_000)
        for _ in range(3):
            first.client.post("/fails/high")
        opened = pagerduty.wait_for(3)  # the third attempt arrives
        first.kill()
        assert {one.json["event_action"] for one in opened} == {"trigger"}
        [key] = {one.json["dedup_key"] for one in opened}
        assert not any(shows(one.body) for one in opened)

        second = course.service(minutes=0.001, quiet_s=36_000)
        [escalated] = receiver.wait_for(1)
        assert "not acknowledged for" in escalated.json["blocks"][1]["text"]["text"]
        acknowledging = opened[-1].json["payload"]["custom_details"]["Acknowledge"]
        assert course.command(*acknowledging.split()[2:], "--by", "ann").endswith("acknowledged by ann\n")
        hears(pagerduty, "acknowledge")
        assert "silent until" in course.command("silence", "critical_*", "--for", "1h", "-s", "bank")
        second.client.post("/fails/critical")
        alerts: list[dict[str, Any]] = []
        deadline = time.monotonic() + 60
        while len(alerts) < 2 and time.monotonic() < deadline:
            alerts = json.loads(course.command("status", "-s", "bank", "--json"))
        assert [one["notified"] for one in alerts if one["rule"] == "critical_financial_errors"] == [[]]
        second.kill()

        course.service(minutes=0.001, quiet_s=0)
        hears(pagerduty, "resolve")
        assert {one.json["dedup_key"] for one in pagerduty.posted} == {key}
        receiver.wait_for(3)
        assert [title(one) for one in receiver.posted] == [
            "Still open: Payment processing failures",
            "Acknowledged: Payment processing failures",
            "Resolved: Payment processing failures",
        ]
    finally:
        pagerduty.close()


def test_the_command_evaluates_events_of_workers_that_only_record(
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
    running = subprocess.Popen([str(COMMAND), "alerts", "run"], cwd=tmp_path, env=clean_environment(env))
    try:
        receiver.wait_for(1)
    finally:
        running.terminate()
        assert running.wait(20) == 0
    assert len(receiver.posted) == 1


def test_a_missing_extra_is_logged_once_with_the_fix(tmp_path: Path) -> None:
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


GATEWAY = f"""
[mobile.projects.app]
id = "{PROJECT}"
keys = ["{KEY}"]
upstream = "{UNREACHABLE}"

[alerts]
evaluate_s = 0.2
"""


@pytest.mark.parametrize("isolation", ["thread", "process"])
def test_crashes_of_the_mobile_app_are_notified(
    tmp_path: Path, receiver: HttpReceiver, isolation: str
) -> None:
    (tmp_path / "mita-otel.toml").write_text(GATEWAY)
    crash = str(RECORDED / "flutter_crash.envelope")
    run_script(
        f"""
        import asyncio, httpx, mita_otel
        telemetry = mita_otel.configure()
        gateway = mita_otel.mobile_app(telemetry)

        async def crash():
            transport = httpx.ASGITransport(gateway)
            async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
                for _ in range(5):
                    with open({crash!r}, "rb") as file:
                        answer = await client.post("/api/{PROJECT}/envelope/", content=file.read(), headers={AUTH!r})
                    assert answer.status_code == 200, answer.text

        asyncio.run(crash())
        telemetry.flush()
        telemetry.shutdown()
        """,
        tmp_path,
        {
            "OTEL_TRACES_EXPORTER": "none",
            "SLACK_FINANCE_WEBHOOK": receiver.url,
            "MITA_OTEL_MOBILE__INTAKE__ISOLATION": isolation,
        },
    )
    [notification] = receiver.wait_for(1)
    assert notification.json["text"] == "Mobile crashes: 5 events within 5 minutes"
    assert not shows(notification.body)
