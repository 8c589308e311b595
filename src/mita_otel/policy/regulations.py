"""What regulations ask for: data beside the policy that no policy can change."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Minimum:
    """What a regulation asks for."""

    regulation: str
    """As in `PCI DSS 10.5.1`."""
    data: str
    """The class of data: `audit`, `errors`, `performance` or `debug`."""
    days: int
    """For how long it is kept, at least."""
    at_hand_days: int
    """Of these, how many must be ready to be searched at once."""
    reason: str


@lru_cache(maxsize=1)
def minimums() -> tuple[Minimum, ...]:
    """Return what all known regulations ask for."""
    text = Path(__file__).with_name("regulations.toml").read_text("utf-8")
    return tuple(Minimum(**one) for one in tomllib.loads(text)["minimum"])
