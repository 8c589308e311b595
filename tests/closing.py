"""Closes resources of a test at its end: a remaining thread or connection would affect other tests."""

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
    """Register a resource to close, and return it."""

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
