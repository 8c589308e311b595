"""In a forked child no lock is held by a thread of the parent."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry.sdk.resources import Resource

from e2e.receiver import Receiver
from mita_otel.policy import default_policy
from mita_otel.processors.captured_exceptions import CapturedExceptions
from mita_otel.processors.queues.forks import ForkSafeLock
from mita_otel.processors.queues.losses import Losses
from mita_otel.processors.redaction import RedactedOrigins
from mita_otel.redaction import Redactor
from mita_otel.sentry.active_roots import ActiveRoots
from mita_otel.sentry.breadcrumbs import Breadcrumbs, Steps
from mita_otel.sentry.sampling_context import SamplingContexts
from sentry.spans import server
from sentry.wire import WireLink

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning"),
]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    backend = Receiver()
    yield backend
    backend.close()


def survives(lock: Any, use: Callable[[], object]) -> bool:
    """Fork while another thread holds the lock; return whether the child can use the guarded object."""
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            held.set()
            release.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(60)
    pid = os.fork()
    if pid == 0:
        signal.alarm(60)
        use()
        os._exit(0)
    release.set()
    thread.join(60)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_locks_of_the_request_path_are_free_in_a_forked_child(receiver: Receiver) -> None:
    roots, captured, losses = ActiveRoots(10, 10), CapturedExceptions(10), Losses(cool_down_s=3600)
    breadcrumbs = Breadcrumbs(10, 10)
    steps = Steps(roots, Redactor(default_policy().redaction), max_traces=10, max_steps=10)
    contexts = SamplingContexts({}, roots, 10, str)
    origins = RedactedOrigins(Redactor(default_policy().redaction))
    transport = WireLink(receiver).transport
    uses: list[tuple[Any, Callable[[], object]]] = [
        (roots._lock, lambda: roots.started(server())),
        (captured._lock, lambda: captured.add(1, "ValueError", "app.py:1")),
        (losses._lock, lambda: losses.add("stage", "reason")),
        (breadcrumbs._lock, lambda: breadcrumbs.add(1, {"message": "x"})),
        (steps._kept._lock, lambda: steps.ended(server())),
        (contexts._lock, lambda: contexts.of(1)),
        (origins._resources._lock, lambda: origins.resource(Resource({"a": "b"}))),
        (transport._reports._lock, lambda: transport.record_lost_event("network_error", "error")),
        (transport._lock, transport.abandon),
    ]
    assert [number for number, (lock, use) in enumerate(uses) if not survives(lock, use)] == []


def test_the_lock_still_excludes_other_threads() -> None:
    lock, inside, most = ForkSafeLock(), [], []

    def work() -> None:
        for _ in range(500):
            with lock, lock:
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert max(most) == 1
