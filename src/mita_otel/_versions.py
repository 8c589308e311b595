"""Versions of installed distributions."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version


@cache
def version_of(distribution: str) -> str:
    """Return the version of an installed distribution. It is read once: reading it parses a file of metadata.

    Raises:
        PackageNotFoundError: It is not installed.
    """
    return version(distribution)
