"""The section of a policy that says how often a limit may be broken, and when that becomes an alert."""

from typing import Annotated, Literal

from mita_otel.policy.fields import Bounds
from mita_otel.policy.section import Section

LONGEST_S = 3 * 24 * 3600
"""Seconds. The longest window that is counted: three days."""

WindowSeconds = Annotated[int, Bounds(ge=60, le=LONGEST_S)]


class BurnWindow(Section):
    """One pair of windows over which the error budget is watched (SRE workbook, chapter 5)."""

    long_s: WindowSeconds
    """Seconds of the long window: enough of the budget is gone to matter."""
    short_s: WindowSeconds
    """Seconds of the short window: it is still going on."""
    burn_rate: Annotated[float, Bounds(gt=0)]
    """How many times faster than allowed the budget goes, in both windows, for an alert."""
    severity: Literal["page", "ticket"]
    """Whether somebody is woken."""

    def check(self) -> None:
        """Require a short window that is shorter than the long one."""
        if self.short_s >= self.long_s:
            raise ValueError(f"short_s ({self.short_s}) is not shorter than long_s ({self.long_s})")


class ObjectivePolicy(Section):
    """How often a limit may be broken."""

    target: Annotated[float, Bounds(gt=0, lt=1)]
    """The share of spans that keep their limit. The rest is the error budget."""
    targets: dict[str, Annotated[float, Bounds(gt=0, lt=1)]]
    """Other targets by rule, as in `"api.financial.GET" = 0.999`."""
    windows: dict[str, BurnWindow]
    """The pairs of windows, by name."""
