"""Limits (milliseconds, `"off"` or adaptive), the kinds of spans that have one, and objectives."""

import re
from functools import lru_cache
from typing import Annotated, Final, Literal

from mita_otel.policy.section import Bounds, Section

Kind = Literal[
    "api",
    "financial",
    "background",
    "consumer",
    "database",
    "checkout",
    "cache",
    "outgoing",
    "mobile_screen",
    "mobile_request",
    "mobile_operation",
]
"""A kind of span, as limits, summaries and alert rules know it."""

HTTP_METHODS: Final = frozenset(
    {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY"}
)
"""Methods that spans are named after (semantic conventions, `http.request.method`: others become `_OTHER`)."""

_DATA = frozenset(
    {"SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "REPLACE", "UPSERT", "CALL", "COPY", "TABLE", "VALUES"}
)
_DEFINITION = frozenset(
    {"CREATE", "ALTER", "DROP", "TRUNCATE", "GRANT", "REVOKE", "REFRESH", "REINDEX", "VACUUM", "ANALYZE"}
)
_TRANSACTION = frozenset({"BEGIN", "START", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "LOCK"})
_CURSOR = frozenset({"DECLARE", "FETCH", "CLOSE", "PREPARE", "EXECUTE", "DEALLOCATE"})
_SESSION = frozenset({"SET", "SHOW", "PRAGMA", "USE", "ATTACH", "DETACH", "LISTEN", "NOTIFY", "UNLISTEN"})

STATEMENT_VERBS: Final = _DATA | _DEFINITION | _TRANSACTION | _CURSOR | _SESSION
"""First words that are a statement's verb."""


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
    """A limit that follows the operation's recent durations, as in `p99 * 1.5` of the last hour."""

    follow: str
    """A percentile and a factor, as in `p99 * 1.5`."""
    floor_ms: Annotated[float, Bounds(gt=0)]
    """Lowest limit, in milliseconds."""
    ceiling_ms: Annotated[float, Bounds(gt=0)]
    """Highest limit, in milliseconds. It applies while there are too few durations."""

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
        """The percentile, as in 99."""
        return self._parts[0]

    @property
    def factor(self) -> float:
        """The factor of the percentile."""
        return self._parts[1]

    def limit_ms(self, percentile_ms: float | None) -> float:
        """Return the limit in milliseconds for a value of the percentile. None: there are too few durations."""
        if percentile_ms is None:
            return self.ceiling_ms
        return min(self.ceiling_ms, max(self.floor_ms, percentile_ms * self.factor))

    @property
    def _parts(self) -> tuple[float, float]:
        return _parsed(self.follow) or (99.0, 1.0)


Limit = Annotated[float, Bounds(gt=0, unit="milliseconds")] | Literal["off"] | AdaptiveLimit
"""A limit in milliseconds, an adaptive limit, or `"off"`: measured, never a breach."""


def lowest_ms(limit: Limit) -> float | None:
    """Return the lowest milliseconds of the limit. None: no span exceeds it."""
    if isinstance(limit, AdaptiveLimit):
        return limit.floor_ms
    return None if limit == "off" else float(limit)


LONGEST_S = 3 * 24 * 3600
"""The longest window that is counted, in seconds: three days."""

WindowSeconds = Annotated[int, Bounds(ge=60, le=LONGEST_S)]


class BurnWindow(Section):
    """One pair of windows in which the error budget is measured (SRE workbook, chapter 5)."""

    long_s: WindowSeconds
    """Seconds of the long window, which shows that a relevant part of the budget is spent."""
    short_s: WindowSeconds
    """Seconds of the short window, which shows that it is still being spent."""
    burn_rate: Annotated[float, Bounds(gt=0)]
    """Multiple of the allowed rate at which the budget is spent, in both windows, that triggers an alert."""
    severity: Literal["page", "ticket"]
    """Whether the alert is a page or a ticket."""

    def check(self) -> None:
        """Require a short window that is shorter than the long one."""
        if self.short_s >= self.long_s:
            raise ValueError(f"short_s ({self.short_s}) is not shorter than long_s ({self.long_s})")


class ObjectivePolicy(Section):
    """How often a limit may be exceeded."""

    target: Annotated[float, Bounds(gt=0, lt=1)]
    """Fraction of spans within their limit. The rest is the error budget."""
    targets: dict[str, Annotated[float, Bounds(gt=0, lt=1)]]
    """Other targets by rule, as in `"api.financial.GET" = 0.999`."""
    windows: dict[str, BurnWindow]
    """The pairs of windows, by name."""
