"""What `capture_…` returns: a text that may also be awaited, since the guide writes it both ways."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any
from uuid import uuid4


class EventId(str):
    """An event's id: 32 hexadecimal digits, the same in Sentry and in whatever is exported.

    Empty where nothing was captured, because telemetry is off. Awaiting it gives the id at once.
    """

    __slots__ = ()

    def __await__(self) -> Generator[Any, None, str]:
        yield from ()  # nothing to wait for; it makes this a generator, as awaiting requires
        return str(self)

    @classmethod
    def new(cls) -> EventId:
        """Return an id that nobody else has."""
        return cls(uuid4().hex)


NOTHING = EventId("")
"""The id of an event that was not captured."""
