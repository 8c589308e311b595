"""Evaluates every rule: alerts open, go on and close, and notifications are queued."""

from __future__ import annotations

import logging
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Final

from mita_otel.alerts.alert import (
    Alert,
    AlertScope,
    LifecycleSettings,
    NotificationRequest,
    advance,
    is_silenced,
    open_or_update,
)
from mita_otel.alerts.conditions import (
    SECOND_NS,
    ConditionMet,
    check_burn_rate,
    check_events,
    check_failures,
    check_health,
    check_volume,
)
from mita_otel.alerts.events import OTHER, Counts, Sample
from mita_otel.alerts.notification import compose
from mita_otel.alerts.span_counter import interval_s
from mita_otel.alerts.store import AlertTransaction, QueuedNotification
from mita_otel.policy.alerts import AlertPolicy, AlertRule
from mita_otel.policy.limits import ObjectivePolicy
from mita_otel.redaction import Redactor

_logger = logging.getLogger("mita_otel.alerts")

_KEEP_CLOSED_NS: Final = 7 * 86_400 * SECOND_NS


class RuleEvaluator:
    """Evaluates rules on a store, at any time.

    Args:
        policy: The rules.
        objective: Targets and windows of error budgets.
        scope: The service and environment.
        redactor: Redacts every notification.
        resolve: Returns the channels to use for those that a rule names: configured ones.
        shared: Whether alerts are in the store, where commands can acknowledge them.
    """

    def __init__(
        self,
        policy: AlertPolicy,
        objective: ObjectivePolicy,
        scope: AlertScope,
        redactor: Redactor,
        resolve: Callable[[tuple[str, ...]], tuple[str, ...]],
        *,
        shared: bool,
    ) -> None:
        self._policy = policy
        self._objective = objective
        self._scope = scope
        self._redactor = redactor
        self._resolve = resolve
        self._shared = shared
        self.rules: Mapping[str, AlertRule] = {
            name: rule for name, rule in policy.rules.items() if rule.is_local
        }
        """The rules that this library evaluates."""
        self._settings = {name: self._lifecycle_settings(rule) for name, rule in self.rules.items()}

    def evaluate(self, transaction: AlertTransaction, now_ns: int) -> list[QueuedNotification]:
        """Evaluate every rule, and return the notifications that were queued."""
        alerts = {alert.id: alert for alert in transaction.alerts()}
        changed: dict[str, Alert] = {}
        open_count = sum(alert.open for alert in alerts.values())
        for name, rule in self.rules.items():
            for subject, met in self._conditions_met(transaction, name, rule, now_ns):
                if open_count >= self._policy.max_alerts and subject:
                    subject = OTHER
                alert_id = self._scope.alert_id(name, subject)
                before = changed.get(alert_id) or alerts.get(alert_id)
                open_count += before is None or not before.open
                changed[alert_id] = open_or_update(before, met, (alert_id, name, subject), now_ns)
            transaction.delete_samples(name, now_ns - self._kept_ns(rule))
        notifications = self._advance(transaction, {**alerts, **changed}, alerts, now_ns)
        transaction.enqueue(notifications)
        transaction.delete_closed(now_ns - _KEEP_CLOSED_NS)
        return notifications

    def _advance(
        self,
        transaction: AlertTransaction,
        alerts: Mapping[str, Alert],
        before: Mapping[str, Alert],
        now_ns: int,
    ) -> list[QueuedNotification]:
        silences = transaction.silences()
        notifications: list[QueuedNotification] = []
        for alert_id, alert in alerts.items():
            settings = self._settings.get(alert.rule)
            if settings is None:  # the rule has left the policy
                after = replace(alert, open=False, closed_ns=alert.closed_ns or now_ns)
            else:
                silenced = is_silenced(silences, alert.rule, alert.subject, now_ns)
                after, requests = advance(alert, settings, now_ns, silenced=silenced)
                notifications += self._notifications(after, settings.rule, requests, now_ns)
            if after != before.get(alert_id):
                transaction.save(after)
                _log_transition(before.get(alert_id), after)
        return notifications

    def _conditions_met(
        self, transaction: AlertTransaction, name: str, rule: AlertRule, now_ns: int
    ) -> Iterator[tuple[str, ConditionMet]]:
        """Yield the subjects for which the condition of a rule is met."""
        met: ConditionMet | None
        if rule.is_counted:
            yield from _events(transaction, name, rule)
            return
        match rule.on[0]:
            case "failures":
                since_ns = now_ns - rule.window_s * SECOND_NS
                for subject, counts in transaction.counts(name, since_ns).items():
                    if met := check_failures(rule, counts, now_ns):
                        yield subject, met
            case "volume":
                yield from self._volume(transaction, name, rule, now_ns)
            case "burn_rate":
                yield from self._burn_rate(transaction, name, rule, now_ns)
            case _:
                samples = transaction.samples(name, now_ns - self._kept_ns(rule))
                for subject, some in _by_subject(samples).items():
                    if met := check_health(rule, some, now_ns):
                        yield subject, met

    def _volume(
        self, transaction: AlertTransaction, name: str, rule: AlertRule, now_ns: int
    ) -> Iterator[tuple[str, ConditionMet]]:
        interval_ns = interval_s(rule, self._objective) * SECOND_NS
        # The current interval is incomplete. The one before it is, too: other workers add their samples a moment later.
        end_ns = now_ns - now_ns % interval_ns - interval_ns
        first_ns = transaction.first_ns(name)
        if first_ns is None:
            return
        usual = self._policy.usual
        samples = transaction.samples(name, end_ns - (usual.windows + 1) * rule.window_s * SECOND_NS)
        for subject, some in _by_subject(samples).items():
            totals: dict[int, int] = defaultdict(int)
            for sample in some:
                totals[sample.at_ns] += sample.total
            if met := check_volume(rule, usual, totals, first_ns, end_ns):
                yield subject, met

    def _burn_rate(
        self, transaction: AlertTransaction, name: str, rule: AlertRule, now_ns: int
    ) -> Iterator[tuple[str, ConditionMet]]:
        by_window = {
            window: tuple(
                transaction.counts(name, now_ns - length_s * SECOND_NS)
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
                window: (long[subject], short.get(subject, Counts()))
                for window, (long, short) in by_window.items()
                if subject in long
            }
            if met := check_burn_rate(rule, self._objective, subject, windows, now_ns):
                yield subject, met

    def _notifications(
        self, alert: Alert, rule: AlertRule, requests: list[NotificationRequest], now_ns: int
    ) -> list[QueuedNotification]:
        return [
            QueuedNotification(
                id=uuid.uuid4().hex,
                channel=channel,
                body=compose(alert, rule, request, self._scope, self._redactor, now_ns, shared=self._shared),
                created_ns=now_ns,
            )
            for request in requests
            for channel in self._resolve(request.channels)
        ]

    def _lifecycle_settings(self, rule: AlertRule) -> LifecycleSettings:
        quiet_s = self._policy.quiet_s if rule.is_counted else rule.window_s
        return LifecycleSettings(
            rule,
            tuple(self._policy.escalations.get(rule.escalation, ())),
            self._policy.cool_down_s if rule.cool_down_s is None else rule.cool_down_s,
            quiet_s if rule.quiet_s is None else rule.quiet_s,
        )

    def _kept_ns(self, rule: AlertRule) -> int:
        """Return how long a rule needs its samples."""
        longest_s = rule.window_s * 2
        if rule.on[0] == "volume":
            longest_s = rule.window_s * (self._policy.usual.windows + 2)
        for name in rule.windows:
            if name in self._objective.windows:
                longest_s = max(longest_s, self._objective.windows[name].long_s)
        return longest_s * SECOND_NS


def _events(transaction: AlertTransaction, name: str, rule: AlertRule) -> Iterator[tuple[str, ConditionMet]]:
    window_ns = rule.window_s * SECOND_NS
    for subject, new in _by_subject(transaction.unevaluated(name)).items():
        first_ns, last_ns = min(one.at_ns for one in new), max(one.at_ns for one in new)
        samples = transaction.samples_between(name, subject, first_ns - window_ns, last_ns + window_ns)
        if met := check_events(rule, samples, first_ns):
            yield subject, met


def _by_subject(samples: list[Sample]) -> dict[str, list[Sample]]:
    found: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        found[sample.subject].append(sample)
    return found


def _log_transition(before: Alert | None, after: Alert) -> None:
    """Log to the service's own log that an alert opened or closed."""
    if after.open and (before is None or not before.open):
        _logger.warning("alert %s opened: %s (%s)", after.id, after.rule, after.reason)
    elif before is not None and before.open and not after.open:
        _logger.warning("alert %s closed: %s", after.id, after.rule)
