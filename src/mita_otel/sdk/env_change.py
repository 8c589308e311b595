"""Environment variables that are changed: for the length of a block, or for good."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager


@contextmanager
def changed(env: MutableMapping[str, str], changes: Mapping[str, str | None]) -> Iterator[None]:
    """Change variables, and give them back as they were.

    Args:
        env: The environment.
        changes: Values by name. None: the variable is not set.
    """
    before = {name: env.get(name) for name in changes}
    write(env, changes)
    try:
        yield
    finally:
        write(env, before)


def write(env: MutableMapping[str, str], values: Mapping[str, str | None]) -> None:
    """Set variables for good. None: the variable is not set."""
    for name, value in values.items():
        if value is None:
            env.pop(name, None)
        else:
            env[name] = value
