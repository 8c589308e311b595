"""Looks at every rule: what was counted, which alerts begin, go on and end, and what is to be told."""

from __future__ import annotations

import logging
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from mita_otel.alerts.alert import Alert, Scope
from mita_otel.alerts.book import Message, Turn
from mita_otel.alerts.notification import compose
from mita_otel.alerts.points import OTHER, Point, Sums
from mita_otel.alerts.silence import is_silenced
from mita_otel.alerts.sums import slot_s
from mita_otel.alerts.transition import SECOND_NS, Course, Telling, advance, found
from mita_otel.alerts.verdicts import Finding, burning, counted, failures, unhealthy, volume
from mita_otel.policy.alerts import AlertPolicy, AlertRule
from mita_otel.policy.limits import ObjectivePolicy
from mita_otel.redaction import Redactor

_logger = logging.getLogger("mita_otel.alerts")

_REMEMBER_CLOSED_NS: Final = 7 * 86_400 * SECOND_NS


class Evaluation:
    """Evaluates rules, with whatever book and at whatever time.

    Args:
        policy: The rules.
        objective: Targets and windows of error budgets.
        scope: Whose alerts.
        redactor: What every message passes.
        ready: Returns the channels to use in place of those that a rule names: ones with somewhere to go.
        shared: Whether alerts are kept where the command line can acknowledge them.
    """

    def __init__(
        self,
        policy: AlertPolicy,
        objective: ObjectivePolicy,
        scope: Scope,
        redactor: Redactor,
        ready: Callable[[tuple[str, ...]], tuple[str, ...]],
        *,
        shared: bool,
    ) -> None:
        self._policy = policy
        self._objective = objective
        self._scope = scope
        self._redactor = redactor
        self._ready = ready
        self._shared = shared
        self.rules: Mapping[str, AlertRule] = {
            name: rule for name, rule in policy.rules.items() if rule.is_local
        }
        """The rules that are watched here."""
        self._courses = {name: self._course(rule) for name, rule in self.rules.items()}

    def evaluate(self, turn: Turn, now_ns: int) -> list[Message]:
        """Look at every rule, and return the messages that were queued."""
        alerts = {alert.id: alert for alert in turn.alerts()}
        changed: dict[str, Alert] = {}
        open_now = sum(alert.open for alert in alerts.values())
        for name, rule in self.rules.items():
            for subject, finding in self._findings(turn, name, rule, now_ns):
                if open_now >= self._policy.max_alerts and subject:
                    subject = OTHER
                alert_id = self._scope.alert_id(name, subject)
                before = changed.get(alert_id) or alerts.get(alert_id)
                open_now += before is None or not before.open
                changed[alert_id] = found(before, finding, (alert_id, name, subject), now_ns)
            turn.forget(name, now_ns - self._kept_ns(rule))
        messages = self._advance(turn, {**alerts, **changed}, alerts, now_ns)
        turn.send(messages)
        turn.forget_closed(now_ns - _REMEMBER_CLOSED_NS)
        return messages

    def _advance(
        self, turn: Turn, alerts: Mapping[str, Alert], before: Mapping[str, Alert], now_ns: int
    ) -> list[Message]:
        silences = turn.silences()
        messages: list[Message] = []
        for alert_id, alert in alerts.items():
            course = self._courses.get(alert.rule)
            if course is None:  # the rule is gone: so is its alert
                after = alert.but(open=False, closed_ns=alert.closed_ns or now_ns)
            else:
                silenced = is_silenced(silences, alert.rule, alert.subject, now_ns)
                after, tellings = advance(alert, course, now_ns, silenced=silenced)
                messages += self._messages(after, course.rule, tellings, now_ns)
            if after != before.get(alert_id):
                turn.put(after)
                _say(before.get(alert_id), after)
        return messages

    def _findings(self, turn: Turn, name: str, rule: AlertRule, now_ns: int) -> Iterator[tuple[str, Finding]]:
        finding: Finding | None
        if rule.is_counted:
            yield from _counted(turn, name, rule)
            return
        match rule.on[0]:
            case "failures":
                for subject, sums in turn.sums(name, now_ns - rule.window_s * SECOND_NS).items():
                    if finding := failures(rule, sums, now_ns):
                        yield subject, finding
            case "volume":
                yield from self._volume(turn, name, rule, now_ns)
            case "burn_rate":
                yield from self._burning(turn, name, rule, now_ns)
            case _:
                looks = turn.points(name, now_ns - self._kept_ns(rule))
                for subject, points in _by_subject(looks).items():
                    if finding := unhealthy(rule, points, now_ns):
                        yield subject, finding

    def _volume(self, turn: Turn, name: str, rule: AlertRule, now_ns: int) -> Iterator[tuple[str, Finding]]:
        slot_ns = slot_s(rule, self._objective) * SECOND_NS
        # Only whiles that are over: of the current one not everything has been counted. Nor of the one before it, of
        # workers that add theirs a moment later.
        end_ns = now_ns - now_ns % slot_ns - slot_ns
        first_ns = turn.first_ns(name)
        if first_ns is None:
            return
        points = turn.points(name, end_ns - (self._policy.usual.windows + 1) * rule.window_s * SECOND_NS)
        for subject, some in _by_subject(points).items():
            totals: dict[int, int] = defaultdict(int)
            for point in some:
                totals[point.at_ns] += point.total
            if finding := volume(rule, self._policy.usual, totals, first_ns, end_ns):
                yield subject, finding

    def _burning(self, turn: Turn, name: str, rule: AlertRule, now_ns: int) -> Iterator[tuple[str, Finding]]:
        by_window = {
            window: tuple(
                turn.sums(name, now_ns - length_s * SECOND_NS)
                for length_s in (
                    self._objective.windows[window].long_s,
                    self._objective.windows[window].short_s,
                )
            )
            for window in rule.windows
            if window in self._objective.windows
        }
        for subject in dict.fromkeys(subject for long, _ in by_window.values() for subject in long):
            windows = {
                window: (long[subject], short.get(subject, Sums()))
                for window, (long, short) in by_window.items()
                if subject in long
            }
            if finding := burning(rule, self._objective, subject, windows, now_ns):
                yield subject, finding

    def _messages(self, alert: Alert, rule: AlertRule, tellings: list[Telling], now_ns: int) -> list[Message]:
        return [
            Message(
                id=uuid.uuid4().hex,
                channel=channel,
                body=compose(alert, rule, telling, self._scope, self._redactor, now_ns, shared=self._shared),
                created_ns=now_ns,
            )
            for telling in tellings
            for channel in self._ready(telling.channels)
        ]

    def _course(self, rule: AlertRule) -> Course:
        quiet_s = self._policy.quiet_s if rule.is_counted else rule.window_s
        return Course(
            rule,
            tuple(self._policy.escalations.get(rule.escalation, ())),
            self._policy.cool_down_s if rule.cool_down_s is None else rule.cool_down_s,
            quiet_s if rule.quiet_s is None else rule.quiet_s,
        )

    def _kept_ns(self, rule: AlertRule) -> int:
        """Return how long the rule's points are needed."""
        longest_s = rule.window_s * 2
        if rule.on[0] == "volume":
            longest_s = rule.window_s * (self._policy.usual.windows + 2)
        for name in rule.windows:
            if name in self._objective.windows:
                longest_s = max(longest_s, self._objective.windows[name].long_s)
        return longest_s * SECOND_NS


def _counted(turn: Turn, name: str, rule: AlertRule) -> Iterator[tuple[str, Finding]]:
    window_ns = rule.window_s * SECOND_NS
    for subject, fresh in _by_subject(turn.fresh(name)).items():
        first_ns, last_ns = min(one.at_ns for one in fresh), max(one.at_ns for one in fresh)
        points = turn.between(name, subject, first_ns - window_ns, last_ns + window_ns)
        if finding := counted(rule, points, first_ns):
            yield subject, finding


def _by_subject(points: list[Point]) -> dict[str, list[Point]]:
    found: dict[str, list[Point]] = defaultdict(list)
    for point in points:
        found[point.subject].append(point)
    return found


def _say(before: Alert | None, after: Alert) -> None:
    """Leave a line in the service's own log when an alert begins, and when it is over."""
    if after.open and (before is None or not before.open):
        _logger.warning("alert %s: %s (%s)", after.id, after.rule, after.reason)
    elif before is not None and before.open and not after.open:
        _logger.warning("alert %s is over: %s", after.id, after.rule)
