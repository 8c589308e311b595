"""The engine in a separate process: it replies alike, is restarted after a crash, and ends with its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from e2e.receiver import Receiver
from mita_otel.mobile.engine import Engine, EngineGoneError
from mita_otel.mobile.engine_process import ProcessRunner
from mita_otel.mobile.gateway import MobileGateway
from mita_otel.mobile.preparation import Intake
from mita_otel.policy import default_policy
from mita_otel.redaction import Redactor
from mobile.kit import intake, policy_with, recorded


@pytest.fixture
def runner(tmp_path: Path, receiver: Receiver) -> Iterator[ProcessRunner]:
    one = ProcessRunner(policy_with(tmp_path / "spool", upstream=receiver.dsn))
    yield one
    one.stop(1)


def eventually(what: Callable[[], object], timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_the_process_replies_like_the_engine(runner: ProcessRunner, receiver: Receiver) -> None:
    futures = [
        runner.submit(intake(recorded(name))) for name in ("payment_error", "screen_render", "replay_video")
    ]
    replies = [future.result(60) for future in futures]
    assert [reply.status for reply in replies] == [200, 200, 200]
    assert replies[1].measured[0].verdict.breaches[0].rule == "mobile.screen"
    assert replies[2].outcomes == {("replay_video", "refused"): 1}
    receiver.wait_for(lambda server: server.events and server.transactions)
    assert runner.flush(60)
    status = runner.status()
    assert status is not None
    assert (status.delivered, status.records) == (2, 0)


def test_malformed_envelopes_are_refused_with_the_reason(runner: ProcessRunner) -> None:
    reply = runner.submit(Intake("app", b"hello")).result(60)
    assert (reply.status, reply.reason) == (400, "header_not_json")


def test_the_engine_runs_in_a_separate_process_with_lower_priority(runner: ProcessRunner) -> None:
    runner.submit(intake(recorded("logs"))).result(60)
    assert runner.pid not in (None, os.getpid())
    assert os.getpriority(os.PRIO_PROCESS, int(runner.pid or 0)) > os.getpriority(os.PRIO_PROCESS, 0)


def test_a_killed_process_is_restarted_and_loses_no_stored_envelope(
    runner: ProcessRunner, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.behaviour = 503
    assert runner.submit(intake(recorded("payment_error"))).result(60).status == 200
    first = runner.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    eventually(lambda: not is_running(first))
    receiver.behaviour = "ok"

    def answers() -> bool:
        try:
            return runner.submit(intake(recorded("screen_render"))).result(60).status == 200
        except EngineGoneError:
            return False

    eventually(answers)
    assert runner.pid != first
    assert "is restarted" in caplog.text
    runner.status()
    receiver.wait_for(lambda server: server.events and server.transactions)


def test_requests_to_a_killed_process_are_answered(runner: ProcessRunner) -> None:
    runner.submit(intake(recorded("logs"))).result(60)
    child, pid = runner._child, runner.pid
    assert child is not None
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    futures = [runner.submit(intake(recorded("payment_error"))) for _ in range(3)]
    eventually(lambda: len(child._waiting) == 3)  # later requests go to the next process
    os.kill(pid, signal.SIGKILL)
    for future in futures:
        with pytest.raises(EngineGoneError):
            future.result(60)


def test_a_request_that_could_not_be_sent_is_answered_once(
    runner: ProcessRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner.submit(intake(recorded("logs"))).result(60)
    child, pid = runner._child, runner.pid
    assert child is not None
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    first = runner.submit(intake(recorded("logs")))
    eventually(lambda: child._waiting)

    def broken(_: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(child._connection, "send", broken)
    second = runner.submit(intake(recorded("logs")))
    with pytest.raises(EngineGoneError):
        second.result(60)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(EngineGoneError):
        first.result(60)
    eventually(lambda: child.gone and child._socket.fileno() < 0)


def test_a_cancelled_request_does_not_affect_others(runner: ProcessRunner) -> None:
    runner.submit(intake(recorded("logs"))).result(60)
    pid = runner.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    given_up, other = (runner.submit(intake(recorded("logs"))) for _ in range(2))
    given_up.cancel()
    os.kill(pid, signal.SIGCONT)
    assert other.result(60).status == 200
    assert runner.pid == pid
    assert given_up.result(60).status == 200


def test_sigint_and_sigterm_do_not_end_the_process(runner: ProcessRunner) -> None:
    runner.submit(intake(recorded("logs"))).result(60)
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(int(runner.pid or 0), number)
    assert runner.submit(intake(recorded("logs"))).result(60).status == 200


def test_stop_flushes_and_ends_the_process(runner: ProcessRunner, receiver: Receiver) -> None:
    runner.submit(intake(recorded("payment_error"))).result(60)
    pid = int(runner.pid or 0)
    assert runner.stop(5)
    assert receiver.events
    assert not is_running(pid)
    with pytest.raises(EngineGoneError):
        runner.submit(intake(recorded("logs"))).result(60)
    assert runner.stop(1)


def test_stop_does_not_wait_for_a_hanging_upstream(runner: ProcessRunner, receiver: Receiver) -> None:
    receiver.behaviour = "hang"
    runner.submit(intake(recorded("payment_error"))).result(60)
    pid = int(runner.pid or 0)
    started = time.monotonic()
    runner.stop(0.5)
    assert time.monotonic() - started < 8
    assert not is_running(pid)


def test_flush_and_stop_before_the_start_succeed(tmp_path: Path) -> None:
    runner = ProcessRunner(policy_with(tmp_path / "spool"))
    assert runner.flush(1)
    assert runner.stop(1)
    assert runner.pid is None


ORPHAN = """
import os, sys, time
from pathlib import Path
from mita_otel.mobile.engine_process import ProcessRunner
from mobile.kit import intake, policy_with, recorded
runner = ProcessRunner(policy_with(Path(sys.argv[1]) / "spool", upstream="http://fedcbafedcbafedc@127.0.0.1:9/1"))
assert runner.submit(intake(recorded("payment_error"))).result(60).status == 200
print(runner.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_process_ends_with_its_parent_on_any_signal(tmp_path: Path, number: int) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", ORPHAN, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.send_signal(number)
    parent.wait(20)
    parent.stdout.close()
    eventually(lambda: not is_running(pid))
    assert len(list((tmp_path / "spool").rglob("*.record"))) == 1


def test_an_engine_that_starts_in_the_background_answers_before_the_first_request(
    tmp_path: Path, receiver: Receiver
) -> None:
    """A mounted application gets no lifespan events."""
    gateway = MobileGateway(policy_with(tmp_path / "spool", upstream=receiver.dsn, isolation="process"))
    before = gateway.metrics.engine_status
    gateway.start_in_background()
    eventually(lambda: gateway.metrics.engine_status is not before)
    gateway.close()


@pytest.mark.parametrize("isolation", ["process", "thread"])
def test_a_closed_gateway_starts_no_engine_in_the_background(tmp_path: Path, isolation: str) -> None:
    gateway = MobileGateway(policy_with(tmp_path / "spool", isolation=isolation))
    before = gateway.metrics.engine_status
    gateway.close()
    gateway.start_in_background()
    gateway.close(60)
    assert gateway.status() is before


def test_a_started_gateway_has_a_responding_engine(tmp_path: Path, receiver: Receiver) -> None:
    gateway = MobileGateway(policy_with(tmp_path / "spool", upstream=receiver.dsn, isolation="process"))
    before = gateway.metrics.engine_status
    gateway.start()
    assert gateway.metrics.engine_status is not before
    gateway.close()


def test_the_first_request_does_not_wait_for_the_rules_of_redaction(tmp_path: Path) -> None:
    redactor = Redactor(default_policy())
    engine = Engine(policy_with(tmp_path / "spool"), redactor, {})
    assert redactor.is_compiled
    engine.stop(0)
