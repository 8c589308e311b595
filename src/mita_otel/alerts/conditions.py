"""Decides whether the condition of a rule is met: pure functions of samples, rule and time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Final

from mita_otel._text import counted
from mita_otel.alerts.events import Counts, Exemplar, Sample
from mita_otel.latency.burn import Spent, burn_rate
from mita_otel.policy.alerts import AlertRule, UsualPolicy
from mita_otel.policy.limits import ObjectivePolicy

SECOND_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class ConditionMet:
    """The condition of a rule is met."""

    at_ns: int
    hits: int
    reason: str
    exemplar: Exemplar | None = None


def check_events(rule: AlertRule, samples: Iterable[Sample], first_ns: int) -> ConditionMet | None:
    """Check whether too many events of one subject lie in any window that ends at `first_ns` or later.

    The answer depends on the times of the events, not on the time of the check.

    Args:
        rule: The rule.
        samples: Samples of the subject, from one window before `first_ns` to one window after the latest new sample.
        first_ns: Time of the first sample that was not evaluated before.
    """
    window_ns = rule.window_s * SECOND_NS
    inside: deque[Sample] = deque()
    met: ConditionMet | None = None
    exemplar: Exemplar | None = None
    hits = 0
    for sample in sorted(samples, key=lambda one: one.at_ns):
        inside.append(sample)
        hits += sample.hits
        exemplar = sample.exemplar or exemplar
        while inside[0].at_ns < sample.at_ns - window_ns:
            hits -= inside.popleft().hits
        if sample.at_ns >= first_ns and hits >= (rule.count or 1):
            reason = f"{counted(hits, 'event')} within {duration_words(rule.window_s)}"
            met = ConditionMet(sample.at_ns, hits, reason, exemplar)
    return met


def check_failures(rule: AlertRule, counts: Counts, now_ns: int) -> ConditionMet | None:
    """Check whether too many spans of one subject failed within the window."""
    if counts.total < rule.min_count:
        return None
    if rule.above is not None and counts.ratio <= rule.above:
        return None
    if rule.count is not None and counts.hits < rule.count:
        return None
    limit = _percent(rule.above) if rule.above is not None else str(rule.count or 0)
    reason = (
        f"{counts.hits} of {counts.total} failed ({_percent(counts.ratio)}) within {duration_words(rule.window_s)}, "
        f"limit {limit}"
    )
    return ConditionMet(now_ns, counts.hits, reason)


def check_volume(
    rule: AlertRule, usual_policy: UsualPolicy, totals: Mapping[int, int], first_ns: int, now_ns: int
) -> ConditionMet | None:
    """Check whether one subject had far more or far fewer spans than usual.

    Args:
        rule: The rule.
        usual_policy: The definition of usual.
        totals: Spans by the start of their interval.
        first_ns: Start of counting. Earlier windows are unknown, not empty.
        now_ns: End of the window: the end of the last complete interval.
    """
    window_ns = rule.window_s * SECOND_NS
    by_window = [0] * (usual_policy.windows + 1)
    for at_ns, total in totals.items():
        age = (now_ns - 1 - at_ns) // window_ns
        if 0 <= age <= usual_policy.windows:
            by_window[age] += total
    complete = min(usual_policy.windows, (now_ns - first_ns) // window_ns - 1)
    if complete < usual_policy.min_windows:
        return None
    current, usual = by_window[0], median(by_window[1 : complete + 1])
    figures = f"{current} within {duration_words(rule.window_s)}, usual {usual:g}"
    if rule.below_usual is not None and usual >= rule.min_count and current < usual * rule.below_usual:
        return ConditionMet(now_ns, current, f"far fewer than usual: {figures}")
    if rule.above_usual is not None and current >= rule.min_count and current > usual * rule.above_usual:
        return ConditionMet(now_ns, current, f"far more than usual: {figures}")
    return None


def check_burn_rate(
    rule: AlertRule,
    objective: ObjectivePolicy,
    limit: str,
    windows: Mapping[str, tuple[Counts, Counts]],
    now_ns: int,
) -> ConditionMet | None:
    """Check whether a limit's error budget burns too fast in one of the rule's pairs of windows.

    Args:
        rule: The rule.
        objective: Targets and windows.
        limit: Name of the limit; empty: all limits together.
        windows: Counts of the long and of the short window of each pair.
        now_ns: The current time.
    """
    target = objective.targets.get(limit, objective.target)
    for name, (long, short) in windows.items():
        pair = objective.windows[name]
        rates = [burn_rate(Spent(counts.total, counts.hits), target) for counts in (long, short)]
        if long.total >= rule.min_count and min(rates) >= pair.burn_rate:
            reason = (
                f"{_percent(long.ratio)} of {long.total} exceeded their limit within {duration_words(pair.long_s)}: the "
                f"error budget burns {rates[0]:.1f} times too fast, limit {pair.burn_rate:g}"
            )
            return ConditionMet(now_ns, long.hits, reason)
    return None


def check_health(rule: AlertRule, samples: Iterable[Sample], now_ns: int) -> ConditionMet | None:
    """Check whether a health check failed every time for as long as the window."""
    by_time = sorted(samples, key=lambda sample: sample.at_ns)
    if not by_time or by_time[-1].at_ns < now_ns - rule.window_s * SECOND_NS:
        return None
    latest = by_time[-1]
    since_ns = latest.at_ns
    for sample in reversed(by_time):
        if not sample.hits:
            break
        since_ns = sample.at_ns
    if not latest.hits or latest.at_ns - since_ns < rule.window_s * SECOND_NS:
        return None
    message = latest.exemplar.message if latest.exemplar is not None else "unhealthy"
    reason = f"{message}, for {duration_words(rule.window_s)} or longer"
    return ConditionMet(now_ns, 1, reason, latest.exemplar)


def duration_words(seconds: float) -> str:
    """Return a duration in words, as in `5 minutes`."""
    for length, unit in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= length:
            amount = seconds / length
            return f"{amount:g} {unit}{'' if amount == 1 else 's'}"
    return f"{seconds:g} second{'' if seconds == 1 else 's'}"


def _percent(ratio: float) -> str:
    return f"{ratio * 100:.3g} %"
