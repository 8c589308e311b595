"""Puts alerts together from the policy and the environment."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from opentelemetry.sdk._logs import LogRecordProcessor
from opentelemetry.sdk.resources import Resource

from mita_otel import environment_variables as variables
from mita_otel import semconv
from mita_otel.alerts.alert import Scope
from mita_otel.alerts.book import AlertBook
from mita_otel.alerts.courier import STAGE, Courier
from mita_otel.alerts.engine import AlertEngine, Looks
from mita_otel.alerts.evaluation import Evaluation
from mita_otel.alerts.intake import AlertIntake
from mita_otel.alerts.memory_book import MemoryBook
from mita_otel.alerts.sums import SpanSums
from mita_otel.alerts.ways import Ways
from mita_otel.errors import ConfigurationError
from mita_otel.policy import Policy
from mita_otel.policy.alerts import AlertPolicy, AlertRule
from mita_otel.processors.breach_signal import BreachListener
from mita_otel.processors.observation import SpanObserver
from mita_otel.processors.queues.losses import Losses
from mita_otel.redaction import Redactor

_logger = logging.getLogger("mita_otel")


@dataclass(frozen=True)
class Alerts:
    """The alerts of this process; without an engine nothing is watched."""

    engine: AlertEngine | None = None
    book: AlertBook | None = None
    intake: AlertIntake | None = None
    sums: SpanSums | None = None
    courier: Courier | None = None

    @property
    def observers(self) -> tuple[SpanObserver, ...]:
        """What has to see every span."""
        return (self.sums,) if self.sums is not None and self.sums.wanted else ()

    @property
    def listeners(self) -> tuple[LogRecordProcessor, ...]:
        """What has to see every log record."""
        return (self.intake,) if self.intake is not None else ()

    @property
    def breach_listeners(self) -> tuple[BreachListener, ...]:
        """What has to hear of every broken limit."""
        return (self.intake,) if self.intake is not None and "breaches" in self.intake.streams else ()

    def watch_health(self, looks: Looks) -> None:
        """Ask how healthy telemetry is, now and then, if a rule wants to know."""
        if self.engine is not None:
            self.engine.watch_health(looks)

    @property
    def stages(self) -> tuple[AlertEngine, ...]:
        """The engine as a stage, to be flushed after those that it listens to."""
        return (self.engine,) if self.engine is not None else ()


NOTHING = Alerts()


def start_alerts(
    policy: Policy,
    redactor: Redactor,
    losses: Losses,
    resource: Resource,
    environment: str,
    env: Mapping[str, str],
) -> Alerts:
    """Make what watches the rules, if there is anybody to tell.

    Args:
        policy: The policy.
        redactor: The only door out.
        losses: Where what cannot be counted or delivered is counted.
        resource: What the service is.
        environment: The environment's name.
        env: The environment variables.

    Returns:
        Without an engine if the policy says that nothing is watched, or no channel has somewhere to go. It never
        raises: what cannot be used is said, and the rest is.
    """
    alerts = policy.alerts
    rules = {name: rule for name, rule in alerts.rules.items() if rule.is_local}
    if alerts.start == "off" or not rules:
        return NOTHING
    ways = Ways(alerts, env)
    records_only = alerts.start == "record"
    if alerts.start == "auto" and not any(ways.ready(rule.channels) for rule in rules.values()):
        return NOTHING
    for problem in () if records_only else _unusable(ways):
        _logger.error("alerts: %s", problem)
    scope = scope_of(resource, environment)
    book = open_book(policy, scope, losses, env, shared_only=records_only)
    if book is None:
        return NOTHING
    sums = SpanSums(
        rules,
        policy.thresholds.objective,
        max_subjects=alerts.max_alerts,
        on_first=lambda: engine.start(),
    )
    evaluation = courier = None
    if not records_only:
        evaluation = Evaluation(
            alerts, policy.thresholds.objective, scope, redactor, ways.ready, shared=book.shared
        )
        courier = make_courier(policy, book, ways, redactor, losses)
    engine = AlertEngine(alerts, book, evaluation, courier, sums, redactor, losses)
    if not records_only:
        _say_who_is_told(ways, rules)
    return Alerts(engine, book, AlertIntake(engine.take, engine.streams), sums, courier)


def scope_of(resource: Resource, environment: str) -> Scope:
    """Return whose alerts a process's are."""
    return Scope(str(resource.attributes.get(semconv.SERVICE_NAME, "")), environment)


def make_courier(policy: Policy, book: AlertBook, ways: Ways, redactor: Redactor, losses: Losses) -> Courier:
    """Return what delivers the book's messages."""
    channels = policy.alerts.channels
    return Courier(
        policy.alerts.delivery,
        book,
        ways,
        redactor,
        losses,
        kind_of=lambda name: channels[name].kind if name in channels else "",
    )


def open_book(
    policy: Policy, scope: Scope, losses: Losses, env: Mapping[str, str], *, shared_only: bool = False
) -> AlertBook | None:
    """Return what remembers: the store, where the policy or the environment say so, else this process.

    Args:
        policy: The policy.
        scope: Whose alerts.
        losses: Where what finds no room is counted.
        env: The environment variables.
        shared_only: Whether memory is of no use, since another process looks at the rules. None then, and it is said.
    """
    if shared_only or is_shared(policy.alerts, env):
        from mita_otel.alerts.store_book import open_store_book

        try:
            return open_store_book(policy, scope, env)
        except ConfigurationError as error:
            _logger.error("alerts are not shared, nor kept: %s", error)
            if shared_only:
                return None
    else:
        _logger.info(
            "alerts: this process counts for itself, and forgets when it ends; set %s to count in all workers together",
            variables.DATABASE_URL,
        )
    return MemoryBook(
        max_points=policy.alerts.max_events,
        max_messages=policy.alerts.delivery.max_waiting,
        on_loss=lambda what, count: losses.add(STAGE, f"{what}_dropped", count),
    )


def is_shared(policy: AlertPolicy, env: Mapping[str, str]) -> bool:
    """Return whether processes keep their alerts in the store, where the command line finds them."""
    known = bool(env.get(variables.DATABASE_URL, "").strip())
    return policy.start == "record" or policy.state == "store" or (policy.state == "auto" and known)


def _unusable(ways: Ways) -> list[str]:
    """Return what is wrong with channels that have somewhere to go."""
    problems: dict[str, None] = {}
    for name in ways.usable:
        try:
            ways.notifier(name)
        except ConfigurationError as error:
            problems[str(error)] = None
    return list(problems)


def _say_who_is_told(ways: Ways, rules: Mapping[str, AlertRule]) -> None:
    used = dict.fromkeys(name for rule in rules.values() for name in ways.ready(rule.channels))
    silent = [name for name, rule in rules.items() if not ways.ready(rule.channels)]
    _logger.info(
        "alerts: %d rules are watched, channels %s%s",
        len(rules),
        ", ".join(used) or "none",
        f"; nobody is told of {', '.join(silent)}: their channels have nowhere to go" if silent else "",
    )
