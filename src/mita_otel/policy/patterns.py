"""Patterns that a policy may add: none whose search can take more than linear time."""

from __future__ import annotations

import importlib
import re
from typing import Any, Final

_MAX_LENGTH: Final = 512
_MAX_STEPS: Final = 4096
"""Ways to match from one place that all the repeats of a pattern may have together."""

_REPEATS: Final = frozenset({"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"})
_GROUPS: Final = frozenset({"SUBPATTERN", "ATOMIC_GROUP", "ASSERT", "ASSERT_NOT"})


def check_pattern(pattern: str) -> str:
    """Return the pattern if it is safe to run on any text.

    Raises:
        ValueError: It is not; the message says why, and how to write it.
    """
    if len(pattern) > _MAX_LENGTH:
        raise ValueError(f"the pattern has {len(pattern)} characters; {_MAX_LENGTH} are allowed")
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{pattern!r} is not a regular expression: {error}") from error
    if compiled.match(""):
        raise ValueError(f"{pattern!r} also matches nothing at all; let it require at least one character")
    parser: Any = importlib.import_module("re._parser")
    steps = _steps(pattern, list(parser.parse(pattern)), last=True, repeated=False)
    if steps > _MAX_STEPS:
        raise ValueError(
            f"{pattern!r} could match in {steps} ways from one place; {_MAX_STEPS} are allowed: "
            "lower the upper bounds of its repeats"
        )
    return pattern


def _steps(pattern: str, nodes: list[Any], *, last: bool, repeated: bool) -> int:
    """Return in how many ways a sequence could match from one place."""
    steps = 1
    for position, (code, argument) in enumerate(nodes):
        at_end = last and position == len(nodes) - 1
        name = str(code)
        if name in _REPEATS:
            steps *= _repeat(pattern, argument, last=at_end, repeated=repeated)
        elif name == "BRANCH":
            if repeated:
                raise ValueError(
                    f"{pattern!r} repeats a choice, which can take exponential time; write the choice out"
                )
            steps *= sum(_steps(pattern, list(one), last=at_end, repeated=False) for one in argument[1])
        elif name in _GROUPS:
            inner = argument if name == "ATOMIC_GROUP" else argument[-1]
            inside_end = at_end and name == "SUBPATTERN"
            steps *= _steps(pattern, list(inner), last=inside_end, repeated=repeated)
        elif name.startswith("GROUPREF"):
            raise ValueError(
                f"{pattern!r} refers back to a group, which can take exponential time; write it without"
            )
    return steps


def _repeat(pattern: str, argument: Any, *, last: bool, repeated: bool) -> int:
    low, high, inner = argument
    unbounded = high > _MAX_STEPS
    if repeated and low != high:
        raise ValueError(
            f"{pattern!r} repeats a repeat, which can take exponential time; "
            "write the inner one with a fixed count"
        )
    inside = _steps(pattern, list(inner), last=False, repeated=repeated or high > 1)
    if unbounded and not last:
        raise ValueError(
            f"{pattern!r} has a repeat without an upper bound before its end; write {{1,64}} in place of + or *"
        )
    return inside * (1 if unbounded else max(1, int(high) - int(low) + 1))
