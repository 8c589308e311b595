"""Errors in a policy: file, line, key, what is wrong, and the fix."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from mita_otel.errors import ConfigurationError
from mita_otel.policy.toml_text import KeyPath


@dataclass(frozen=True)
class Problem:
    """One error in a policy."""

    place: str
    """Where: `mita-otel.toml:12`, a file's path, or a variable's name."""
    key: str
    """The key as the file spells it, as in `environments.staging.export.traces`; empty: the file as a whole."""
    message: str
    """What is wrong and, after a semicolon, the fix."""

    def __str__(self) -> str:
        return ": ".join(filter(None, (self.place, self.key, self.message)))


class Mismatch(NamedTuple):
    """A value that does not fit the model."""

    key: KeyPath
    reason: Literal["unknown key", "missing keys", "wrong value", "wrong name", "refused"]
    detail: Any = None
    """The names that are missing, the wrong value, or the message of what refused it."""


class PolicyError(ConfigurationError):
    """A policy is invalid. The message has one line for each problem."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        """Every problem, in the order of the file."""
        super().__init__("\n".join(map(str, self.problems)))
