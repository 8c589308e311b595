"""Runs the command that deploys a release, and returns its exit status as a shell does."""

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
        message: The command and the reason.
        status: The exit status that a shell returns in this case.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def run_command(command: Sequence[str]) -> int:
    """Run a command to its end, and return its exit status; 128 plus the signal's number if a signal ended it.

    SIGTERM to this process is forwarded to the command, so that its outcome is known and reported.

    Raises:
        NotStartedError: The command could not be started.
    """
    with _forwarded_signals() as forward_to:
        try:
            child = subprocess.Popen(command)  # noqa: S603 - the user's own command
        except OSError as error:
            status = NOT_EXECUTABLE if isinstance(error, PermissionError) else NOT_FOUND
            raise NotStartedError(f"{command[0]}: {error.strerror}", status) from error
        with child:
            forward_to(child)
            status = child.wait()
    return _BY_SIGNAL - status if status < 0 else status


@contextmanager
def _forwarded_signals() -> Iterator[Callable[[subprocess.Popen[bytes]], None]]:
    """Yield a function that takes the child to which SIGTERM is forwarded, earlier signals included.

    SIGINT is ignored: the terminal sends Ctrl-C to the child as well.
    """
    children: list[subprocess.Popen[bytes]] = []
    early: list[int] = []

    def forward(number: int, frame: Any) -> None:
        for child in children:
            child.send_signal(number)
        if not children:
            early.append(number)

    def forward_to(child: subprocess.Popen[bytes]) -> None:
        children.append(child)
        for number in early:
            child.send_signal(number)

    before = {
        signal.SIGTERM: signal.signal(signal.SIGTERM, forward),
        signal.SIGINT: signal.signal(signal.SIGINT, lambda number, frame: None),
    }
    try:
        yield forward_to
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
