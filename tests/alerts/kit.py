"""A service with a controlled clock: events happen, time passes, and notifications are recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mita_otel.alerts.alert import Alert, AlertScope
from mita_otel.alerts.engine import redacted_exemplar
from mita_otel.alerts.evaluator import RuleEvaluator
from mita_otel.alerts.events import AlertEvent, RuleMatcher, Sample
from mita_otel.alerts.notification import Notification
from mita_otel.alerts.store import AlertStore
from mita_otel.policy import Policy, default_policy
from mita_otel.policy.conversion import convert
from mita_otel.redaction import Redactor

SECOND = 1_000_000_000
START = 1_767_225_600 * SECOND
"""The first of January 2026."""
SCOPE = AlertScope("bank", "production")


def policy_with(rules: Mapping[str, Mapping[str, Any]] | None = None, **alerts: Any) -> Policy:
    """The default policy, its rules changed or replaced by these."""
    policy = default_policy()
    known = policy.alerts.rules
    if rules is not None:
        alerts["rules"] = {
            name: {**(known[name].to_dict() if name in known else {}), **changes}
            for name, changes in rules.items()
        }
    tree = policy.to_dict()
    tree["alerts"] |= alerts
    return convert(Policy, tree)


def error(at_s: float = 0, **facts: Any) -> AlertEvent:
    known: dict[str, Any] = {
        "stream": "errors",
        "name": "GatewayTimeout",
        "category": "payment_processing",
        "severity": "high",
    }
    return AlertEvent(
        at_ns=START + int(at_s * SECOND), **{**known, "message": "the gateway did not answer", **facts}
    )


@dataclass
class Bank:
    """A process of the service. Several share a store."""

    store: AlertStore
    policy: Policy = field(default_factory=default_policy)
    now_s: float = 0.0
    sent: list[tuple[str, Notification]] = field(default_factory=list)
    """Channels and notifications, in the order in which they were queued."""

    def __post_init__(self) -> None:
        self.redactor = Redactor(self.policy.redaction)
        self.evaluator = RuleEvaluator(
            self.policy.alerts,
            self.policy.thresholds.objective,
            SCOPE,
            self.redactor,
            lambda names: names,
            shared=self.store.shared,
        )
        self.matcher = RuleMatcher(self.evaluator.rules)

    @property
    def now_ns(self) -> int:
        return START + int(self.now_s * SECOND)

    def happens(self, *events: AlertEvent) -> None:
        """Count the events, and evaluate the rules."""
        self.store.add_samples(sample for one in events for sample in self.samples(one))
        if events:
            self.now_s = max(self.now_s, *((one.at_ns - START) / SECOND for one in events))
        self.evaluate()

    def samples(self, event: AlertEvent) -> list[Sample]:
        """The samples of an event."""
        exemplar = redacted_exemplar(event, self.redactor)
        matches = self.matcher.match(event)
        return [Sample(one.rule, one.subject, event.at_ns, exemplar=exemplar) for one in matches]

    def spans(
        self, rule: str, hits: int, total: int, *, subject: str = "", at_s: float | None = None
    ) -> None:
        """Count spans without an evaluation."""
        at_ns = START + int((self.now_s if at_s is None else at_s) * SECOND)
        self.store.add_samples([Sample(rule, subject, at_ns, hits, total, single=False)])

    def evaluate(self, at_s: float | None = None) -> list[tuple[str, str]]:
        """Evaluate the rules, and return channel and action of each new notification."""
        self.now_s = self.now_s if at_s is None else at_s
        with self.store.transaction() as transaction:
            queued = self.evaluator.evaluate(transaction, self.now_ns)
        new = [(one.channel, one.body) for one in queued]
        self.sent += new
        return [(channel, body.action) for channel, body in new]

    def alerts(self) -> list[Alert]:
        with self.store.transaction() as transaction:
            return transaction.alerts()

    @property
    def actions(self) -> list[str]:
        """Rule, action and reason of the notifications, each once for all channels."""
        return list(dict.fromkeys(f"{body.rule} {body.action} {body.reason}" for _, body in self.sent))

    def sent_to(self, action: str = "trigger") -> list[str]:
        return [channel for channel, body in self.sent if body.action == action]
