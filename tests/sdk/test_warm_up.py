"""The thread that finishes a start in the background."""

from __future__ import annotations

import os
import threading

import pytest

from mita_otel.sdk.warm_up import WarmUp


def test_a_step_that_fails_does_not_prevent_the_next_one() -> None:
    done = threading.Event()
    warm_up = WarmUp([lambda: 1 / 0, done.set], max_wait_s=10)
    warm_up.start()
    assert done.wait(10)
    warm_up.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_waits_for_it() -> None:
    begun, release, done = threading.Event(), threading.Event(), threading.Event()

    def step() -> None:
        begun.set()
        release.wait(10)
        done.set()

    warm_up = WarmUp([step], max_wait_s=10)
    warm_up.start()
    assert begun.wait(10)
    timer = threading.Timer(0.05, release.set)
    timer.start()
    child = os.fork()
    if child == 0:
        os._exit(0 if done.is_set() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    timer.join()
    warm_up.close()
