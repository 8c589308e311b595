"""The trail across forks: a child has a separate chain, and no entry is lost."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

from audit.kit import changed, kit
from audit.recording import PERMANENT, event, fork, numbers


def test_a_forked_child_has_a_separate_chain(tmp_path: Path) -> None:
    with kit(tmp_path) as made:
        made.trail.record(event(1))

        def child() -> None:
            made.trail.record(event(2))
            assert made.trail.flush(60)
            made.trail.close(60)

        assert fork(child) == 0
        made.trail.record(event(3))
        assert made.trail.flush(60)
        assert numbers(made) == [1, 2, 3]
        found = made.rows("chain, json_extract(body, '$.process')", "event_type = 'test'")
        assert len({chain for chain, _ in found}) == 2
        assert {process for _, process in found} > {os.getpid()}


def test_entries_of_a_killed_child_are_moved_by_another_process(tmp_path: Path) -> None:
    with kit(tmp_path, policy=changed(PERMANENT, audit__mover__adopt_s=0.001)) as made:
        made.trail.record(event(1))

        def child() -> None:
            made.trail.record(event(2))
            os.kill(os.getpid(), signal.SIGKILL)

        assert fork(child) == -signal.SIGKILL
        assert made.trail.flush(60)
        assert numbers(made) == [1, 2]


def test_a_fork_while_threads_record_loses_nothing(tmp_path: Path) -> None:
    with kit(tmp_path) as made:
        stop = threading.Event()
        counts = [0, 0, 0]

        def work(at: int) -> None:
            while not stop.is_set():
                made.trail.record(event(at * 1_000_000 + counts[at]))
                counts[at] += 1

        threads = [threading.Thread(target=work, args=(at,)) for at in range(3)]
        for thread in threads:
            thread.start()
        children = [fork(lambda at=at: made.trail.record(event(9_000_000 + at))) for at in range(5)]
        stop.set()
        for thread in threads:
            thread.join()
        assert children == [0] * 5
        made.trail.close(60)
        with kit(tmp_path) as later:  # the next process moves the children's entries
            later.trail.record(event(8_000_000))
            assert later.trail.flush(60)
            expected = [at * 1_000_000 + n for at in range(3) for n in range(counts[at])]
            assert numbers(later) == sorted([*expected, 8_000_000, *(9_000_000 + at for at in range(5))])
