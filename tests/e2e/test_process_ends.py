"""Finished spans arrive however a process ends: by signals, in gevent, in pool children, by `os._exit`."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2e.receiver import Receiver
from e2e.script import Ran, run_script

pytestmark = pytest.mark.e2e

_SETUP = """
import os, signal, threading, time
import mita_otel
from opentelemetry import trace

def work(number=1):
    with trace.get_tracer("test").start_as_current_span(f"work {number}"):
        pass
    return number

signal.signal(signal.SIGHUP, signal.SIG_DFL)  # ignored in what `nohup` starts

def end(number):
    os.kill(os.getpid(), number)
    time.sleep(60)
"""
_ENDS = {
    "the main thread works on": """
thread = threading.Thread(target=mita_otel.configure)
thread.start()
thread.join()
work()
end(NUMBER)
""",
    "the main thread waits for the thread": """
def serve():
    time.sleep(0.3)  # until the main thread is blocked
    mita_otel.configure()
    work()
    time.sleep(3)
    end(NUMBER)
thread = threading.Thread(target=serve)
thread.start()
thread.join()
""",
    "on the main thread": """
mita_otel.configure()
work()
end(NUMBER)
""",
    "gevent, in a sleeping main greenlet": """
from gevent import monkey; monkey.patch_all()
import gevent
mita_otel.configure()
work()
gevent.spawn_later(0.1, os.kill, os.getpid(), NUMBER)
gevent.sleep(60)
""",
    "gevent, configured in a greenlet": """
from gevent import monkey; monkey.patch_all()
import gevent
gevent.spawn(mita_otel.configure).join()
work()
gevent.spawn_later(0.1, os.kill, os.getpid(), NUMBER)
gevent.sleep(60)
""",
}


def ran(code: str, receiver: Receiver, folder: Path) -> Ran:
    return run_script(_SETUP + code, folder, {"SENTRY_DSN": receiver.dsn}, check=False)


@pytest.mark.parametrize("number", ["SIGTERM", "SIGHUP"])
@pytest.mark.parametrize("code", _ENDS.values(), ids=_ENDS.keys())
def test_spans_arrive_if_a_signal_ends_the_process(
    receiver: Receiver, tmp_path: Path, code: str, number: str
) -> None:
    if "gevent" in code:
        pytest.importorskip("gevent", reason="gevent is not installed for this Python")
    ended = ran(code.replace("NUMBER", f"signal.{number}"), receiver, tmp_path)
    assert ended.code == {"SIGTERM": -15, "SIGHUP": -1}[number], ended.stderr
    assert [one["transaction"] for one in receiver.transactions] == ["work 1"], ended.stderr
    assert "ignored due to" not in ended.stderr


@pytest.mark.parametrize("gevent", [False, True])
def test_the_signal_handler_of_the_application_is_called_after_the_flush(
    receiver: Receiver, tmp_path: Path, gevent: bool
) -> None:
    if gevent:
        pytest.importorskip("gevent", reason="gevent is not installed for this Python")
    code = """
import sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
mita_otel.configure()
work()
"""
    ending = "import gevent; gevent.spawn_later(0.1, os.kill, os.getpid(), 15); gevent.sleep(60)"
    start = "from gevent import monkey; monkey.patch_all()\n" if gevent else ""
    ended = run_script(
        start + _SETUP + code + (ending if gevent else "end(signal.SIGTERM)"),
        tmp_path,
        {"SENTRY_DSN": receiver.dsn},
        check=False,
    )
    assert ended.code == 7, ended.stderr
    assert [one["transaction"] for one in receiver.transactions] == ["work 1"]


_CHILDREN = {
    "multiprocessing.Pool": """
import multiprocessing
mita_otel.configure()
with multiprocessing.get_context("fork").Pool(1, maxtasksperchild=1) as pool:
    pool.map(work, [1, 2, 3], chunksize=1)
    pool.close()
    pool.join()
""",
    "configured in the children": """
import multiprocessing
with multiprocessing.get_context("fork").Pool(1, mita_otel.configure, maxtasksperchild=1) as pool:
    pool.map(work, [1, 2, 3], chunksize=1)
    pool.close()
    pool.join()
""",
    "multiprocessing.Process": """
import multiprocessing
mita_otel.configure()
for number in (1, 2, 3):
    child = multiprocessing.get_context("fork").Process(target=work, args=(number,))
    child.start()
    child.join()
""",
    "billiard.Pool": """
import billiard.pool
mita_otel.configure()
pool = billiard.pool.Pool(1, maxtasksperchild=1)
assert pool.map(work, [1, 2, 3]) == [1, 2, 3]
pool.close()  # like Celery: otherwise the end of this process terminates the last child at once
pool.join()
""",
    "configured in the children of billiard": """
import billiard.pool
pool = billiard.pool.Pool(1, mita_otel.configure, maxtasksperchild=1)
assert pool.map(work, [1, 2, 3]) == [1, 2, 3]
pool.close()
pool.join()
""",
    "os._exit after a fork": """
mita_otel.configure()
for number in (1, 2, 3):
    child = os.fork()
    if not child:
        work(number)
        os._exit(0)
    os.waitpid(child, 0)
""",
}


@pytest.mark.parametrize("code", _CHILDREN.values(), ids=_CHILDREN.keys())
def test_spans_of_child_processes_arrive(receiver: Receiver, tmp_path: Path, code: str) -> None:
    if "billiard" in code:
        pytest.importorskip("billiard", reason="billiard (of celery) is not installed for this Python")
    ended = ran(code, receiver, tmp_path)
    assert ended.code == 0, ended.stderr
    receiver.wait_for(lambda r: len(r.transactions) >= 3)
    assert sorted(one["transaction"] for one in receiver.transactions) == ["work 1", "work 2", "work 3"]


def test_os_exit_is_restored_after_a_shutdown(tmp_path: Path) -> None:
    ended = run_script(
        """
        import os, mita_otel
        before = os._exit
        telemetry = mita_otel.configure(exporters=["memory"])
        during = os._exit
        telemetry.shutdown()
        answer([during is not before, os._exit is before])
        """,
        tmp_path,
    )
    assert ended.answer == [True, True]
