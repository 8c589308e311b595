"""Burn rates over several windows, as the SRE workbook defines them, in fixed memory."""

from __future__ import annotations

import pytest

from mita_otel.latency.burn import BudgetLedger, BurnRate, Spent, burn_rate, burn_rates
from mita_otel.policy import default_policy

POLICY = default_policy().thresholds.objective
RULE = "api.methods.GET"


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000_000.0

    def __call__(self) -> float:
        return self.now_s


def fill(ledger: BudgetLedger, clock: Clock, minutes: int, broken_of_100: int, rule: str = RULE) -> None:
    for _ in range(minutes):
        for number in range(100):
            ledger.count(rule, broken=number < broken_of_100)
        clock.now_s += 60


@pytest.mark.parametrize(
    ("total", "broken", "target", "expected"),
    [(0, 0, 0.99, 0), (100, 0, 0.99, 0), (100, 1, 0.99, 1), (1000, 144, 0.99, 14.4), (1000, 1, 0.999, 1)],
)
def test_a_burn_rate_of_one_spends_the_budget_in_its_period(
    total: int, broken: int, target: float, expected: float
) -> None:
    assert burn_rate(Spent(total, broken), target) == pytest.approx(expected)


def test_the_default_windows_are_those_of_the_workbook() -> None:
    assert {(one.long_s, one.short_s, one.burn_rate, one.severity) for one in POLICY.windows.values()} == {
        (3600, 300, 14.4, "page"),
        (21_600, 1_800, 6.0, "page"),
        (259_200, 21_600, 1.0, "ticket"),
    }


def by_window(ledger: BudgetLedger) -> dict[str, BurnRate]:
    return {one.window: one for one in ledger.burn_rates() if one.rule == RULE}


def test_an_outage_burns_in_the_fast_window_until_it_is_over() -> None:
    clock = Clock()
    ledger = BudgetLedger(POLICY, clock=clock)
    fill(ledger, clock, 120, 0)
    fill(ledger, clock, 12, 100)
    fast = by_window(ledger)["fast"]
    assert fast.burning and fast.severity == "page"
    assert fast.long_rate == pytest.approx(11 / 59 * 100, rel=0.2)
    assert not by_window(ledger)["slow"].burning or by_window(ledger)["slow"].severity == "ticket"
    fill(ledger, clock, 6, 0)
    assert not by_window(ledger)["fast"].burning, "the short window says that it is over"
    assert by_window(ledger)["fast"].long_rate > 14.4


def test_a_slow_leak_burns_in_the_long_window_only() -> None:
    clock = Clock()
    ledger = BudgetLedger(POLICY, clock=clock)
    fill(ledger, clock, 3 * 24 * 60, 2)
    rates = by_window(ledger)
    assert [name for name, one in rates.items() if one.burning] == ["slow"]
    assert rates["slow"].long_rate == pytest.approx(2, rel=0.01)


def test_a_rule_has_the_target_of_the_policy_or_the_default() -> None:
    strict = POLICY.replace(targets={RULE: 0.999})
    rates = burn_rates(strict, lambda rule, seconds: Spent(1000, 10), [RULE, "other"])
    assert {one.rule: one.long_rate for one in rates if one.window == "fast"} == {
        RULE: pytest.approx(10),
        "other": pytest.approx(1),
    }


def test_counts_older_than_the_window_are_ignored() -> None:
    clock = Clock()
    ledger = BudgetLedger(POLICY, clock=clock)
    fill(ledger, clock, 1, 50)
    clock.now_s += 4 * 24 * 3600
    assert ledger.spent(RULE, 259_200) == Spent(0, 0)
    fill(ledger, clock, 1, 10)
    assert ledger.spent(RULE, 3600) == Spent(100, 10)


def test_the_ring_buffer_does_not_mix_days() -> None:
    clock = Clock()
    ledger = BudgetLedger(POLICY, clock=clock)
    for _ in range(10 * 24):
        ledger.count(RULE, broken=True)
        clock.now_s += 3600
    assert ledger.spent(RULE, 259_200).total == 71
    assert ledger.spent(RULE, 21_600).total == 5


def test_after_a_clock_step_back_counts_go_to_the_newest_minute() -> None:
    clock = Clock()
    ledger = BudgetLedger(POLICY, clock=clock)
    ledger.count(RULE, broken=False)
    clock.now_s -= 10_000
    ledger.count(RULE, broken=True)
    assert ledger.spent(RULE, 60) == Spent(2, 1)


def test_the_number_of_rules_is_bounded_and_an_unknown_one_is_empty() -> None:
    ledger = BudgetLedger(POLICY, clock=Clock())
    for number in range(400):
        ledger.count(f"api.routes.GET /{number}", broken=False)
    assert len(ledger.burn_rates()) == 256 * 3
    assert ledger.spent("unknown", 60) == Spent()
    ledger.reset()
    assert ledger.burn_rates() == []
