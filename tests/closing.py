"""Closes what a test makes when the test ends: a thread or a connection that is left works on in other tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Protocol, TypeVar


class Closes(Protocol):
    """Anything that can be closed, more than once."""

    def close(self) -> object:
        """Close it."""


T = TypeVar("T", bound=Closes)


class Closing(Protocol):
    """Takes what is to be closed, and returns it."""

    def __call__(self, one: T, /) -> T:
        """Close it when the test ends."""


@contextmanager
def closing_all() -> Iterator[Closing]:
    """Close everything that was passed, the latest first."""
    with ExitStack() as stack:

        def close_later(one: T) -> T:
            stack.callback(one.close)
            return one

        yield close_later
