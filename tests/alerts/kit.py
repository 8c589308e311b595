"""A service with a clock of the test's own: events happen, minutes pass, and it is looked at who was told what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mita_otel.alerts.alert import Alert, Scope
from mita_otel.alerts.book import AlertBook
from mita_otel.alerts.engine import redacted_sample
from mita_otel.alerts.evaluation import Evaluation
from mita_otel.alerts.matching import Matcher
from mita_otel.alerts.notification import Notification
from mita_otel.alerts.points import Point
from mita_otel.alerts.signal import Signal
from mita_otel.policy import Policy, default_policy
from mita_otel.policy.conversion import convert
from mita_otel.redaction import Redactor

SECOND = 1_000_000_000
START = 1_767_225_600 * SECOND
"""The first of January 2026."""
SCOPE = Scope("bank", "production")


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


def error(at_s: float = 0, **facts: Any) -> Signal:
    known: dict[str, Any] = {
        "stream": "errors",
        "name": "GatewayTimeout",
        "category": "payment_processing",
        "severity": "high",
    }
    return Signal(
        at_ns=START + int(at_s * SECOND), **{**known, "message": "the gateway did not answer", **facts}
    )


@dataclass
class Bank:
    """One process of the service, or several that share a book."""

    book: AlertBook
    policy: Policy = field(default_factory=default_policy)
    now_s: float = 0.0
    told: list[tuple[str, Notification]] = field(default_factory=list)
    """Channel and message, in the order in which they were queued."""

    def __post_init__(self) -> None:
        self.redactor = Redactor(self.policy.redaction)
        self.evaluation = Evaluation(
            self.policy.alerts,
            self.policy.thresholds.objective,
            SCOPE,
            self.redactor,
            lambda names: names,
            shared=self.book.shared,
        )
        self.matcher = Matcher(self.evaluation.rules)

    @property
    def now_ns(self) -> int:
        return START + int(self.now_s * SECOND)

    def happens(self, *signals: Signal) -> None:
        """Count the signals, and look."""
        self.book.add(point for one in signals for point in self.points(one))
        if signals:
            self.now_s = max(self.now_s, *((one.at_ns - START) / SECOND for one in signals))
        self.look()

    def points(self, signal: Signal) -> list[Point]:
        """What the rules count of a signal."""
        sample = redacted_sample(signal, self.redactor)
        matches = self.matcher.match(signal)
        return [Point(one.rule, one.subject, signal.at_ns, sample=sample) for one in matches]

    def spans(
        self, rule: str, hits: int, total: int, *, subject: str = "", at_s: float | None = None
    ) -> None:
        """Count spans, without a look."""
        at_ns = START + int((self.now_s if at_s is None else at_s) * SECOND)
        self.book.add([Point(rule, subject, at_ns, hits, total, single=False)])

    def look(self, at_s: float | None = None) -> list[tuple[str, str]]:
        """Look at the rules, and return channel and action of what is told."""
        self.now_s = self.now_s if at_s is None else at_s
        with self.book.turn() as turn:
            messages = self.evaluation.evaluate(turn, self.now_ns)
        new = [(one.channel, one.body) for one in messages]
        self.told += new
        return [(channel, body.action) for channel, body in new]

    def alerts(self) -> list[Alert]:
        with self.book.turn() as turn:
            return turn.alerts()

    @property
    def actions(self) -> list[str]:
        """What was told, each once however many channels it went to."""
        return list(dict.fromkeys(f"{body.rule} {body.action} {body.reason}" for _, body in self.told))

    def told_to(self, action: str = "trigger") -> list[str]:
        return [channel for channel, body in self.told if body.action == action]
