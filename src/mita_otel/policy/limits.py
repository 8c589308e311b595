"""A limit: milliseconds, `"off"`, or one that follows what is usual."""

from __future__ import annotations

import re
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from mita_otel.policy.sections import Section

_FOLLOW = re.compile(r"p(?P<percentile>\d{1,2}(?:\.\d{1,3})?)\s*\*\s*(?P<factor>\d{1,3}(?:\.\d{1,3})?)")


class AdaptiveLimit(Section):
    """A limit that follows an operation's own recent durations, as in `p99 * 1.5` of the last hour."""

    follow: str
    """A percentile and a factor, as in `p99 * 1.5`."""
    floor_ms: Annotated[float, Field(gt=0)]
    """Milliseconds that the limit never goes below."""
    ceiling_ms: Annotated[float, Field(gt=0)]
    """Milliseconds that the limit never goes above; the limit while too little is known."""

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        found = _FOLLOW.fullmatch(self.follow.strip())
        if found is None or not 0 < float(found["percentile"]) < 100 or float(found["factor"]) <= 0:
            raise ValueError(
                f'{self.follow!r} is not a percentile times a factor; write follow = "p99 * 1.5"'
            )
        if self.floor_ms > self.ceiling_ms:
            raise ValueError(
                f"floor_ms ({self.floor_ms:g}) is above ceiling_ms ({self.ceiling_ms:g}); swap them"
            )
        return self

    @cached_property
    def percentile(self) -> float:
        """The percentile that is followed, as in 99."""
        return float(self._parts[0])

    @cached_property
    def factor(self) -> float:
        """What the percentile is multiplied by."""
        return float(self._parts[1])

    def limit_ms(self, percentile_ms: float | None) -> float:
        """Return the limit in milliseconds, given the percentile's value; None: too little is known."""
        if percentile_ms is None:
            return self.ceiling_ms
        return min(self.ceiling_ms, max(self.floor_ms, percentile_ms * self.factor))

    @property
    def _parts(self) -> tuple[str, str]:
        found = _FOLLOW.fullmatch(self.follow.strip())
        return (found["percentile"], found["factor"]) if found else ("99", "1")


def _read(value: Any) -> Any:
    """Read a table as an adaptive limit, so that what is wrong with it is said, not what else it could have been."""
    return AdaptiveLimit.model_validate(value, strict=True) if isinstance(value, dict) else value


Limit = Annotated[
    Annotated[float, Field(gt=0, description="milliseconds")] | Literal["off"] | AdaptiveLimit,
    BeforeValidator(_read),
]
"""A limit in milliseconds, one that adapts, or `"off"`: measured, never a breach."""


def lowest_ms(limit: Limit) -> float | None:
    """Return the milliseconds below which nothing breaks the limit; None: nothing ever does."""
    if isinstance(limit, AdaptiveLimit):
        return limit.floor_ms
    return None if limit == "off" else float(limit)
