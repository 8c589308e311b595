"""What a caller is told when the store cannot be used."""

from __future__ import annotations

from typing import Final

from mita_otel.errors import ConfigurationError

INSTALL: Final = "pip install 'mita-otel[store]'"


class StoreError(ConfigurationError):
    """The store cannot be used; the message names what is missing or wrong, and the mend."""


class StoreUnavailableError(StoreError):
    """The database does not answer, or not in time."""


class StoreDeniedError(StoreError):
    """The database's role may not do that."""


def first_line(error: BaseException) -> str:
    """Return the first line of the driver's message: the rest repeats the statement and, in places, the row."""
    original = getattr(error, "orig", None) or error
    return (str(original).strip().splitlines() or [type(original).__name__])[0]
