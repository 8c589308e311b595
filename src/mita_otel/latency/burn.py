"""Error budgets: how fast each limit's budget is spent, in several windows at once.

The target is the fraction of spans within their limit; the rest is the budget. A burn rate of 1 spends the budget exactly
in its period, 14.4 in two days of a month. An alert needs a long window (a relevant part is spent) and a short window (it is
still being spent) above the same rate: SRE workbook, chapter 5, "Multiwindow, multi-burn-rate alerts".
"""

from __future__ import annotations

import threading
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from mita_otel.policy.limits import LONGEST_S, ObjectivePolicy

_SLOT_S: Final = 60
_SLOTS: Final = LONGEST_S // _SLOT_S + 1
_MAX_RULES: Final = 256
"""Rules whose budgets are counted: 9 MB if all are used. A rule beyond that has none."""


@dataclass(frozen=True, slots=True)
class Spent:
    """The spans of a rule in a period."""

    total: int = 0
    """Spans that it applied to."""
    broken: int = 0
    """Spans that exceeded it."""


@dataclass(frozen=True, slots=True)
class BurnRate:
    """How fast a rule's error budget is spent, in one pair of windows."""

    rule: str
    """As in `api.financial.GET`."""
    window: str
    """The pair's name in the policy, as in `fast`."""
    severity: Literal["page", "ticket"]
    threshold: float
    """The rate from which both windows trigger an alert."""
    long_rate: float
    short_rate: float
    long: Spent
    short: Spent

    @property
    def burning(self) -> bool:
        """Whether both windows are at or above the threshold. With few spans this happens easily: check `long.total`."""
        return self.long_rate >= self.threshold and self.short_rate >= self.threshold


def burn_rate(spent: Spent, target: float) -> float:
    """Return the multiple of the allowed rate at which the budget is spent; 0 without spans.

    Args:
        spent: The spans of the rule.
        target: Fraction of spans within the limit, as in 0.99.
    """
    return spent.broken / spent.total / (1 - target) if spent.total else 0.0


def burn_rates(
    policy: ObjectivePolicy, spent: Callable[[str, int], Spent], rules: list[str]
) -> list[BurnRate]:
    """Return the burn rates of each rule and pair of windows.

    Args:
        policy: Targets and windows.
        spent: Returns the spans of a rule in the last seconds.
        rules: The rules' names.
    """
    rates = []
    for rule in rules:
        target = policy.targets.get(rule, policy.target)
        for name, window in policy.windows.items():
            long, short = spent(rule, window.long_s), spent(rule, window.short_s)
            rates.append(
                BurnRate(
                    rule=rule,
                    window=name,
                    severity=window.severity,
                    threshold=window.burn_rate,
                    long_rate=burn_rate(long, target),
                    short_rate=burn_rate(short, target),
                    long=long,
                    short=short,
                )
            )
    return rates


class _Slots:
    """Counts by minute, in a ring of three days."""

    def __init__(self, slot: int) -> None:
        self.total = array("I", bytes(4 * _SLOTS))
        self.broken = array("I", bytes(4 * _SLOTS))
        self.newest = slot
        self.total_ever = self.broken_ever = 0

    def turn(self, slot: int) -> None:
        """Empty the minutes after the newest up to this one. If the clock was set back, the newest minute stays."""
        for number in range(max(self.newest + 1, slot - _SLOTS + 1), slot + 1):
            self.total[number % _SLOTS] = self.broken[number % _SLOTS] = 0
        self.newest = max(self.newest, slot)

    def last(self, slots: int) -> Spent:
        """Return the sum of the newest slots."""
        end = self.newest % _SLOTS + 1
        start = end - min(slots, _SLOTS)
        parts = [slice(start, end)] if start >= 0 else [slice(start + _SLOTS, _SLOTS), slice(0, end)]
        return Spent(
            sum(sum(self.total[part]) for part in parts), sum(sum(self.broken[part]) for part in parts)
        )


class BudgetLedger:
    """Counts, by rule and minute of the last three days, its spans and the spans that exceeded it; thread-safe.

    Args:
        policy: Targets and windows.
        clock: Seconds; monotonic is best.
    """

    def __init__(self, policy: ObjectivePolicy, *, clock: Callable[[], float]) -> None:
        self._policy = policy
        self._clock = clock
        self.reset()

    def reset(self) -> None:
        """Forget everything: a forked child starts empty."""
        self._lock = threading.Lock()
        self._slots: dict[str, _Slots] = {}

    def count(self, rule: str, *, broken: bool) -> None:
        """Count a span that the rule applied to."""
        slot = int(self._clock() // _SLOT_S)
        with self._lock:
            slots = self._slots.get(rule)
            if slots is None:
                if len(self._slots) >= _MAX_RULES:
                    return
                slots = self._slots[rule] = _Slots(slot)
            if slot != slots.newest:
                slots.turn(slot)
            index = slots.newest % _SLOTS
            slots.total[index] += 1
            slots.total_ever += 1
            if broken:
                slots.broken[index] += 1
                slots.broken_ever += 1

    def spent(self, rule: str, seconds: int) -> Spent:
        """Return the spans of the rule in the last seconds, rounded up to minutes."""
        slot = int(self._clock() // _SLOT_S)
        with self._lock:
            slots = self._slots.get(rule)
            if slots is None:
                return Spent()
            slots.turn(slot)
            return slots.last(-(-seconds // _SLOT_S))

    def ever(self) -> dict[str, Spent]:
        """Return the spans of each rule since the start."""
        with self._lock:
            return {rule: Spent(one.total_ever, one.broken_ever) for rule, one in self._slots.items()}

    def burn_rates(self) -> list[BurnRate]:
        """Return the burn rates of every rule that applied to a span, by pair of windows."""
        with self._lock:
            rules = sorted(self._slots)
        return burn_rates(self._policy, self.spent, rules)
