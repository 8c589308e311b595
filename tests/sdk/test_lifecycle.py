"""The hooks at process exit share one deadline."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mita_otel.policy import default_policy
from mita_otel.sdk.lifecycle import Lifecycle

POLICY = default_policy("production").lifecycle
DEADLINE_S = POLICY.shutdown_timeout_s


class Backend:
    """A backend that takes time on a fake clock, and records the timeouts that it gets."""

    def __init__(self, takes_s: float, answers: bool) -> None:
        self.takes_s = takes_s
        self.answers = answers
        self.now_s = 0.0
        self.given_s: list[float] = []

    def clock(self) -> float:
        return self.now_s

    def flush(self, timeout_s: float) -> bool:
        self.given_s.append(timeout_s)
        self.now_s += min(self.takes_s, timeout_s)
        return self.answers and self.takes_s <= timeout_s

    def lifecycle(self) -> Lifecycle:
        return Lifecycle(POLICY, self.flush, self.flush, clock=self.clock)


def hooks(lifecycle: Lifecycle) -> list[Callable[[], None]]:
    """Return the hooks in the order of uvicorn: lifespan, SIGTERM, interpreter exit."""
    return [lifecycle._flush_quietly, lifecycle._flush_quietly, lifecycle._at_exit]


def test_a_hanging_backend_delays_the_exit_once() -> None:
    backend = Backend(takes_s=60, answers=False)
    for hook in hooks(backend.lifecycle()):
        hook()
    assert backend.given_s == [DEADLINE_S, 0, 0]


@pytest.mark.parametrize("takes_s", [0.0, 2.0])
def test_time_spent_by_a_failed_flush_reduces_the_next_timeout(takes_s: float) -> None:
    backend = Backend(takes_s, answers=False)
    for hook in hooks(backend.lifecycle()):
        hook()
    assert backend.given_s == [DEADLINE_S, DEADLINE_S - takes_s, DEADLINE_S - 2 * takes_s]


def test_a_responding_backend_gets_the_full_timeout_each_time() -> None:
    backend = Backend(takes_s=3, answers=True)
    lifecycle = backend.lifecycle()
    for _ in range(4):  # a test suite ends its application's lifespan many times
        lifecycle._flush_quietly()
    assert backend.given_s == [DEADLINE_S] * 4


def test_an_exception_of_a_flush_is_suppressed_and_its_time_counts() -> None:
    backend = Backend(takes_s=1, answers=False)

    def broken(timeout_s: float) -> bool:
        backend.flush(timeout_s)
        raise RuntimeError("no")

    lifecycle = Lifecycle(POLICY, broken, broken, clock=backend.clock)
    lifecycle._flush_quietly()
    lifecycle._at_exit()
    assert backend.given_s == [DEADLINE_S, DEADLINE_S - 1]
