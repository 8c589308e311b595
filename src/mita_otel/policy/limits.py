"""A limit: milliseconds, `"off"`, or one that follows what is usual."""

import re
from functools import lru_cache
from typing import Annotated, Literal

from mita_otel.policy.fields import Bounds
from mita_otel.policy.section import Section

_FOLLOW = re.compile(r"p(?P<percentile>\d{1,2}(?:\.\d{1,3})?)\s*\*\s*(?P<factor>\d{1,3}(?:\.\d{1,3})?)")


@lru_cache(maxsize=256)
def _parsed(follow: str) -> tuple[float, float] | None:
    """Return the percentile and the factor; None if the text has another form or they are out of range."""
    found = _FOLLOW.fullmatch(follow.strip())
    if found is None:
        return None
    percentile, factor = float(found["percentile"]), float(found["factor"])
    return (percentile, factor) if 0 < percentile < 100 and factor > 0 else None


class AdaptiveLimit(Section):
    """A limit that follows an operation's own recent durations, as in `p99 * 1.5` of the last hour."""

    follow: str
    """A percentile and a factor, as in `p99 * 1.5`."""
    floor_ms: Annotated[float, Bounds(gt=0)]
    """Milliseconds that the limit never goes below."""
    ceiling_ms: Annotated[float, Bounds(gt=0)]
    """Milliseconds that the limit never goes above; the limit while too little is known."""

    def check(self) -> None:
        """Require a percentile times a factor, and a floor below the ceiling."""
        if _parsed(self.follow) is None:
            raise ValueError(
                f'{self.follow!r} is not a percentile times a factor; write follow = "p99 * 1.5"'
            )
        if self.floor_ms > self.ceiling_ms:
            raise ValueError(
                f"floor_ms ({self.floor_ms:g}) is above ceiling_ms ({self.ceiling_ms:g}); swap them"
            )

    @property
    def percentile(self) -> float:
        """The percentile that is followed, as in 99."""
        return self._parts[0]

    @property
    def factor(self) -> float:
        """What the percentile is multiplied by."""
        return self._parts[1]

    def limit_ms(self, percentile_ms: float | None) -> float:
        """Return the limit in milliseconds, given the percentile's value; None: too little is known."""
        if percentile_ms is None:
            return self.ceiling_ms
        return min(self.ceiling_ms, max(self.floor_ms, percentile_ms * self.factor))

    @property
    def _parts(self) -> tuple[float, float]:
        return _parsed(self.follow) or (99.0, 1.0)


Limit = Annotated[float, Bounds(gt=0, unit="milliseconds")] | Literal["off"] | AdaptiveLimit
"""A limit in milliseconds, one that adapts, or `"off"`: measured, never a breach."""


def lowest_ms(limit: Limit) -> float | None:
    """Return the milliseconds below which nothing breaks the limit; None: nothing ever does."""
    if isinstance(limit, AdaptiveLimit):
        return limit.floor_ms
    return None if limit == "off" else float(limit)
