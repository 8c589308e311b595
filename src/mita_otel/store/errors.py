"""Errors of the store."""

from __future__ import annotations

from typing import Final

from mita_otel.errors import ConfigurationError

INSTALL: Final = "pip install 'mita-otel[store]'"


class StoreError(ConfigurationError):
    """The store cannot be used. The message names the reason and the fix."""


class StoreUnavailableError(StoreError):
    """The database does not answer in time."""


class StoreDeniedError(StoreError):
    """The database's role lacks a privilege."""


def first_line(error: BaseException) -> str:
    """Return the first line of the driver's message. The rest repeats the statement and sometimes the row."""
    original = getattr(error, "orig", None) or error
    return (str(original).strip().splitlines() or [type(original).__name__])[0]
