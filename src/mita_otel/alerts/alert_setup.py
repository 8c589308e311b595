"""Builds the components of alerts from the policy and the environment."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from opentelemetry.sdk._logs import LogRecordProcessor
from opentelemetry.sdk.resources import Resource

from mita_otel import environment_variables as variables
from mita_otel import semconv
from mita_otel.alerts.channels.registry import Channels
from mita_otel.errors import ConfigurationError
from mita_otel.policy import Policy
from mita_otel.policy.alerts import AlertPolicy, AlertRule

if TYPE_CHECKING:  # the rest of the package is imported only where rules are active
    from mita_otel.alerts.alert import AlertScope
    from mita_otel.alerts.dispatcher import NotificationDispatcher
    from mita_otel.alerts.engine import AlertEngine, HealthResults
    from mita_otel.alerts.events import AlertEventProcessor
    from mita_otel.alerts.span_counter import SpanCounter
    from mita_otel.alerts.store import AlertStore
    from mita_otel.processors.breach_signal import BreachListener
    from mita_otel.processors.observation import SpanObserver
    from mita_otel.processors.queues.losses import Losses
    from mita_otel.redaction import Redactor

_logger = logging.getLogger("mita_otel")


@dataclass(frozen=True)
class AlertComponents:
    """The alerts of this process. Without an engine, no rule is active."""

    engine: AlertEngine | None = None
    event_processor: AlertEventProcessor | None = None
    span_counter: SpanCounter | None = None

    @property
    def observers(self) -> tuple[SpanObserver, ...]:
        """Observers of every span."""
        return (self.span_counter,) if self.span_counter is not None and self.span_counter.wanted else ()

    @property
    def listeners(self) -> tuple[LogRecordProcessor, ...]:
        """Processors of every log record."""
        return (self.event_processor,) if self.event_processor is not None else ()

    @property
    def breach_listeners(self) -> tuple[BreachListener, ...]:
        """Listeners to every exceeded limit."""
        processor = self.event_processor
        return (processor,) if processor is not None and "breaches" in processor.streams else ()

    def watch_health(self, read: HealthResults) -> None:
        """Read telemetry's health regularly, if there are rules on it."""
        if self.engine is not None:
            self.engine.watch_health(read)

    @property
    def stages(self) -> tuple[AlertEngine, ...]:
        """The engine as a stage, to be flushed after those that it listens to."""
        return (self.engine,) if self.engine is not None else ()


NOTHING = AlertComponents()


def set_up_alerts(
    policy: Policy,
    redactor: Redactor,
    losses: Losses,
    resource: Resource,
    environment: str,
    env: Mapping[str, str],
) -> AlertComponents:
    """Build the components of alerts, if rules are active.

    Args:
        policy: The policy.
        redactor: The redaction boundary.
        losses: Counts what cannot be counted or delivered.
        resource: The service's resource.
        environment: Name of the environment.
        env: The environment variables.

    Returns:
        `NOTHING` if the policy switches alerts off, or no channel is configured. Never raises: an invalid setting is
        logged, and the rest is used.
    """
    alerts = policy.alerts
    rules = {name: rule for name, rule in alerts.rules.items() if rule.is_local}
    if alerts.start == "off" or not rules:
        return NOTHING
    channels = Channels(alerts, env)
    records_only = alerts.start == "record"
    if alerts.start == "auto" and not any(channels.resolve(rule.channels) for rule in rules.values()):
        return NOTHING
    from mita_otel.alerts.engine import AlertEngine
    from mita_otel.alerts.evaluator import RuleEvaluator
    from mita_otel.alerts.events import AlertEventProcessor
    from mita_otel.alerts.span_counter import SpanCounter

    for problem in () if records_only else _invalid_settings(channels):
        _logger.error("alerts: %s", problem)
    scope = scope_of(resource, environment)
    store = choose_store(policy, scope, losses, env, shared_only=records_only)
    if store is None:
        return NOTHING
    span_counter = SpanCounter(
        rules,
        policy.thresholds.objective,
        max_subjects=alerts.max_alerts,
        on_first=lambda: engine.start(),
    )
    evaluator = dispatcher = None
    if not records_only:
        evaluator = RuleEvaluator(
            alerts, policy.thresholds.objective, scope, redactor, channels.resolve, shared=store.shared
        )
        dispatcher = make_dispatcher(policy, store, channels, redactor, losses)
    engine = AlertEngine(alerts, store, evaluator, dispatcher, span_counter, redactor, losses)
    if not records_only:
        _log_channels(channels, rules)
    return AlertComponents(engine, AlertEventProcessor(engine.submit, engine.streams), span_counter)


def scope_of(resource: Resource, environment: str) -> AlertScope:
    """Return the scope of a process's alerts."""
    from mita_otel.alerts.alert import AlertScope

    return AlertScope(str(resource.attributes.get(semconv.SERVICE_NAME, "")), environment)


def make_dispatcher(
    policy: Policy, store: AlertStore, channels: Channels, redactor: Redactor, losses: Losses
) -> NotificationDispatcher:
    """Return the dispatcher of a store's notifications."""
    from mita_otel.alerts.dispatcher import NotificationDispatcher

    settings = policy.alerts.channels
    return NotificationDispatcher(
        policy.alerts.delivery,
        store,
        channels,
        redactor,
        losses,
        kind_of=lambda name: settings[name].kind if name in settings else "",
    )


def choose_store(
    policy: Policy, scope: AlertScope, losses: Losses, env: Mapping[str, str], *, shared_only: bool = False
) -> AlertStore | None:
    """Return the store: in the database if the policy or the environment says so, else in memory.

    Args:
        policy: The policy.
        scope: The service and environment.
        losses: Counts what is dropped.
        env: The environment variables.
        shared_only: Whether another process evaluates the rules, so that memory is of no use. If the database cannot be
            used, that is logged and the result is None.
    """
    if shared_only or uses_shared_store(policy.alerts, env):
        from mita_otel.alerts.sql_store import open_alert_store

        try:
            return open_alert_store(policy, scope, env)
        except ConfigurationError as error:
            _logger.error("alerts are not shared with other workers and end with the process: %s", error)
            if shared_only:
                return None
    else:
        _logger.info(
            "alerts: each process counts separately and its alerts end with it; set %s to count in all workers together",
            variables.DATABASE_URL,
        )
    from mita_otel.alerts.dispatcher import STAGE
    from mita_otel.alerts.memory_store import MemoryAlertStore

    return MemoryAlertStore(
        max_samples=policy.alerts.max_events,
        max_queued=policy.alerts.delivery.max_waiting,
        on_loss=lambda what, count: losses.add(STAGE, f"{what}_dropped", count),
    )


def uses_shared_store(policy: AlertPolicy, env: Mapping[str, str]) -> bool:
    """Return whether alerts are kept in the database, where commands find them."""
    known = bool(env.get(variables.DATABASE_URL, "").strip())
    return policy.start == "record" or policy.state == "store" or (policy.state == "auto" and known)


def _invalid_settings(channels: Channels) -> list[str]:
    """Return the errors in settings of configured channels."""
    problems: dict[str, None] = {}
    for name in channels.configured:
        try:
            channels.notifier(name)
        except ConfigurationError as error:
            problems[str(error)] = None
    return list(problems)


def _log_channels(channels: Channels, rules: Mapping[str, AlertRule]) -> None:
    used = dict.fromkeys(name for rule in rules.values() for name in channels.resolve(rule.channels))
    silent = [name for name, rule in rules.items() if not channels.resolve(rule.channels)]
    _logger.info(
        "alerts: %d rules are active, channels: %s%s",
        len(rules),
        ", ".join(used) or "none",
        f"; no notifications for {', '.join(silent)}: their channels are not configured" if silent else "",
    )
