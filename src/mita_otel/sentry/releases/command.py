"""Runs what deploys a release, and says how it ended as a shell would."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

NOT_FOUND: Final = 127
NOT_EXECUTABLE: Final = 126
_BY_SIGNAL: Final = 128


class NotStartedError(Exception):
    """The command could not be started.

    Args:
        why: Why not.
        status: The exit status of a shell in its place.
    """

    def __init__(self, why: str, status: int) -> None:
        super().__init__(why)
        self.status = status


def run(command: Sequence[str]) -> int:
    """Run a command to its end, and return its exit status; 128 and the signal's number if a signal ended it.

    Whoever ends this process meanwhile ends the command: what became of it is to be known.

    Raises:
        NotStartedError: It could not be started.
    """
    with _ending_by_signal() as ended_by:
        try:
            child = subprocess.Popen(command)  # noqa: S603 - what the user asks for
        except OSError as error:
            status = NOT_EXECUTABLE if isinstance(error, PermissionError) else NOT_FOUND
            raise NotStartedError(f"{command[0]}: {error.strerror}", status) from error
        with child:
            ended_by(child)
            status = child.wait()
    return _BY_SIGNAL - status if status < 0 else status


@contextmanager
def _ending_by_signal() -> Iterator[Callable[[subprocess.Popen[bytes]], None]]:
    """Yield what takes the child, which ends from then on, or at once, by what would end us.

    Ctrl-C has reached it already: the terminal tells all of its group.
    """
    children: list[subprocess.Popen[bytes]] = []
    early: list[int] = []

    def pass_on(number: int, frame: Any) -> None:
        for child in children:
            child.send_signal(number)
        if not children:
            early.append(number)

    def take(child: subprocess.Popen[bytes]) -> None:
        children.append(child)
        for number in early:
            child.send_signal(number)

    before = {
        signal.SIGTERM: signal.signal(signal.SIGTERM, pass_on),
        signal.SIGINT: signal.signal(signal.SIGINT, lambda number, frame: None),
    }
    try:
        yield take
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
