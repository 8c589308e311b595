"""When what was counted is too much: pure functions of points, a rule and the time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Final

from mita_otel._plural import counted as number_of
from mita_otel.alerts.points import Point, Sample, Sums
from mita_otel.latency.burn import Spent, burn_rate
from mita_otel.policy.alerts import AlertRule, UsualPolicy
from mita_otel.policy.limits import ObjectivePolicy

SECOND_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule found too much."""

    at_ns: int
    hits: int
    reason: str
    sample: Sample | None = None


def counted(rule: AlertRule, points: Iterable[Point], first_ns: int) -> Finding | None:
    """Return whether single events of one subject were too many, in any window that ends at `first_ns` or later.

    However late this is asked, the answer is the same: what counts is when the events were.

    Args:
        rule: The rule.
        points: Those of the subject, from a window before `first_ns` to a window after the last news.
        first_ns: When the first point was that nobody has looked at.
    """
    window_ns = rule.window_s * SECOND_NS
    inside: deque[Point] = deque()
    found: Finding | None = None
    sample: Sample | None = None
    hits = 0
    for point in sorted(points, key=lambda one: one.at_ns):
        inside.append(point)
        hits += point.hits
        sample = point.sample or sample
        while inside[0].at_ns < point.at_ns - window_ns:
            hits -= inside.popleft().hits
        if point.at_ns >= first_ns and hits >= (rule.count or 1):
            found = Finding(
                point.at_ns, hits, f"{number_of(hits, 'event')} within {span_of(rule.window_s)}", sample
            )
    return found


def failures(rule: AlertRule, sums: Sums, now_ns: int) -> Finding | None:
    """Return whether too many spans of one subject failed within the window."""
    if sums.total < rule.min_count:
        return None
    if rule.above is not None and sums.share <= rule.above:
        return None
    if rule.count is not None and sums.hits < rule.count:
        return None
    limit = f", limit {_percent(rule.above)}" if rule.above is not None else f", limit {rule.count or 0}"
    reason = (
        f"{sums.hits} of {sums.total} failed ({_percent(sums.share)}) within {span_of(rule.window_s)}{limit}"
    )
    return Finding(now_ns, sums.hits, reason)


def volume(
    rule: AlertRule, usual_policy: UsualPolicy, totals: Mapping[int, int], first_ns: int, now_ns: int
) -> Finding | None:
    """Return whether there were far more or far fewer spans of one subject than usual.

    Args:
        rule: The rule.
        usual_policy: What is usual.
        totals: Spans by the time their while began.
        first_ns: When counting began: what lies before is not zero, but unknown.
        now_ns: The end of the window: of whiles that are over.
    """
    window_ns = rule.window_s * SECOND_NS
    sums = [0] * (usual_policy.windows + 1)
    for at_ns, total in totals.items():
        age = (now_ns - 1 - at_ns) // window_ns
        if 0 <= age <= usual_policy.windows:
            sums[age] += total
    complete = min(usual_policy.windows, (now_ns - first_ns) // window_ns - 1)
    if complete < usual_policy.min_windows:
        return None
    current, usual = sums[0], median(sums[1 : complete + 1])
    said = f"{current} within {span_of(rule.window_s)}, usual {usual:g}"
    if rule.below_usual is not None and usual >= rule.min_count and current < usual * rule.below_usual:
        return Finding(now_ns, current, f"far fewer than usual: {said}")
    if rule.above_usual is not None and current >= rule.min_count and current > usual * rule.above_usual:
        return Finding(now_ns, current, f"far more than usual: {said}")
    return None


def burning(
    rule: AlertRule,
    objective: ObjectivePolicy,
    limit: str,
    windows: Mapping[str, tuple[Sums, Sums]],
    now_ns: int,
) -> Finding | None:
    """Return whether a limit's error budget goes too fast in one of the rule's pairs of windows.

    Args:
        rule: The rule.
        objective: Targets and windows.
        limit: The limit's name; empty: all limits together.
        windows: The sums of the long and of the short window of each pair.
        now_ns: The time.
    """
    target = objective.targets.get(limit, objective.target)
    for name, (long, short) in windows.items():
        pair = objective.windows[name]
        rates = [burn_rate(Spent(sums.total, sums.hits), target) for sums in (long, short)]
        if long.total >= rule.min_count and min(rates) >= pair.burn_rate:
            reason = (
                f"{_percent(long.share)} of {long.total} broke their limit within {span_of(pair.long_s)}: the error "
                f"budget goes {rates[0]:.1f} times too fast, limit {pair.burn_rate:g}"
            )
            return Finding(now_ns, long.hits, reason)
    return None


def unhealthy(rule: AlertRule, looks: Iterable[Point], now_ns: int) -> Finding | None:
    """Return whether a check of health failed whenever somebody looked, for as long as the window."""
    newest = sorted(looks, key=lambda point: point.at_ns)
    if not newest or newest[-1].at_ns < now_ns - rule.window_s * SECOND_NS:
        return None
    since_ns = newest[-1].at_ns
    for point in reversed(newest):
        if not point.hits:
            break
        since_ns = point.at_ns
    if not newest[-1].hits or newest[-1].at_ns - since_ns < rule.window_s * SECOND_NS:
        return None
    said = newest[-1].sample.message if newest[-1].sample is not None else "unhealthy"
    return Finding(now_ns, 1, f"{said}, for {span_of(rule.window_s)} and longer", newest[-1].sample)


def span_of(seconds: float) -> str:
    """Return a span of time in words, as in `5 minutes`."""
    for length, unit in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= length:
            amount = seconds / length
            return f"{amount:g} {unit}{'' if amount == 1 else 's'}"
    return f"{seconds:g} second{'' if seconds == 1 else 's'}"


def _percent(share: float) -> str:
    return f"{share * 100:.3g} %"
