"""Names in a policy that refer to other parts of it: each has to be there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import get_close_matches

from mita_otel.policy.model import Policy
from mita_otel.policy.spelling import KeyPath

Misreference = tuple[KeyPath, str]
"""Where a name stands that leads nowhere, and what a person is told."""


def misreferences(policy: Policy) -> Iterator[Misreference]:
    """Yield each name that refers to something that there is not."""
    alerts = policy.alerts
    for name, channel in alerts.channels.items():
        if channel.instead:
            yield from _check(("channels", name, "instead"), [channel.instead], "channel", alerts.channels)
    for name, steps in alerts.escalations.items():
        for number, step in enumerate(steps):
            place = ("escalations", name, str(number), "channels")
            yield from _check(place, step.channels, "channel", alerts.channels, listed=True)
    titles: dict[str, str] = {}
    for name, rule in alerts.rules.items():
        key = ("rules", name)
        yield from _check((*key, "channels"), rule.channels, "channel", alerts.channels, listed=True)
        if rule.escalation:
            yield from _check((*key, "escalation"), [rule.escalation], "escalation", alerts.escalations)
        windows = policy.thresholds.objective.windows
        yield from _check(
            (*key, "windows"), rule.windows, "pair of windows in thresholds.objective", windows, listed=True
        )
        other = titles.setdefault(rule.title, name)
        if other != name:
            yield ("alerts", *key, "title"), f"the rule {other} has this title too; change one of them"


def _check(
    key: KeyPath, names: Iterable[str], what: str, known: Iterable[str], *, listed: bool = False
) -> Iterator[Misreference]:
    known = list(known)
    for number, name in enumerate(names):
        if name not in known:
            close = get_close_matches(name, known, n=1)
            mend = f"did you mean {close[0]}?" if close else f"there are {', '.join(known) or 'none'}"
            yield ("alerts", *key, *([str(number)] if listed else [])), f"there is no {what} {name!r}; {mend}"
