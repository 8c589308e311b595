"""The composition root: builds telemetry from the policy and the environment variables."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

from opentelemetry import propagate
from opentelemetry.sdk._logs.export import LogRecordExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator

from mita_otel._versions import version_of
from mita_otel.alerts.alert_setup import AlertComponents, set_up_alerts
from mita_otel.audit.installed import LazyAudit
from mita_otel.errors import ConfigurationError
from mita_otel.exporters.registry import log_failures_once
from mita_otel.finance.facts import known_attributes
from mita_otel.finance.middleware import (
    enrich_span,
)
from mita_otel.finance.reported_errors import capture_logged, report_issue, report_recorded
from mita_otel.instrumentation.patches import Patches
from mita_otel.policy import default_policy
from mita_otel.processors.breach_signal import BreachListener
from mita_otel.processors.captured_exceptions import RecordedErrors
from mita_otel.processors.propagation import RedactedPropagator, install_propagator
from mita_otel.processors.providers import IssuedHandles
from mita_otel.processors.queues.losses import Losses
from mita_otel.processors.queues.stage import Stage
from mita_otel.redaction import Redactor
from mita_otel.sdk.audit_setup import retention_stage, start_audit, start_finance
from mita_otel.sdk.exporter_factory import ExporterFactory, Exporters, counting_unavailable
from mita_otel.sdk.health.health import Health, HealthParts
from mita_otel.sdk.library_instrumentation import instrument_libraries
from mita_otel.sdk.lifecycle import Lifecycle
from mita_otel.sdk.metrics_and_logs import start_logs, start_metrics
from mita_otel.sdk.performance import Performance
from mita_otel.sdk.service import Service, Settings
from mita_otel.sdk.stages import Stages
from mita_otel.sdk.start_line import StartLine
from mita_otel.sdk.telemetry import Insight, Telemetry
from mita_otel.sdk.tracing import Tracing, start_tracing
from mita_otel.sdk.unused_variables import Setup, unused_variables
from mita_otel.sdk.warm_up import WarmUp

if TYPE_CHECKING:
    from mita_otel.audit.runtime import OnRecorded

_logger = logging.getLogger("mita_otel")


def inert(settings: Settings) -> Telemetry:
    """Return a handle that does nothing, for a service whose telemetry could not be started."""
    try:
        redactor = Redactor(settings.policy.redaction)
    except ConfigurationError:
        redactor = Redactor(default_policy(settings.environment).redaction)
    losses = Losses(cool_down_s=settings.policy.thresholds.log.cool_down_s)
    return Telemetry(settings, redactor, Stages((), losses, settings.policy.lifecycle), Patches())


@dataclass(frozen=True)
class Additions:
    """What a test adds to a configuration, or replaces in it."""

    redactor: Redactor | None = None
    """None: the policy's."""
    id_generator: IdGenerator | None = None
    """Makes the ids of traces and spans. None: as the environment says."""
    log_exporters: Sequence[tuple[str, LogRecordExporter]] = ()
    """Names and exporters of log records."""
    breach_listeners: Sequence[BreachListener] = ()
    """Notified of each exceeded limit."""
    start_alerts: Callable[[Service], AlertComponents] | None = None
    """Builds the alerts. None: as the policy says."""
    on_audit_entry: OnRecorded | None = None
    """Called with each entry of the audit trail."""
    move_audit_on_demand: bool = False
    """Whether entries of the audit trail stay on the disk until something reads the database."""


_NO_ADDITIONS = Additions()


def compose(
    settings: Settings,
    issued: IssuedHandles,
    strict: bool,
    patches: Patches,
    env: Mapping[str, str],
    additions: Additions = _NO_ADDITIONS,
) -> Telemetry:
    """Build telemetry and start it.

    Args:
        settings: What was asked for.
        issued: What outlives configurations.
        strict: Raise for an exporter that cannot be made, instead of logging it.
        patches: Takes back every change to the process. If this raises, the caller reverts it.
        env: The environment variables.
        additions: What a test adds or replaces.

    Raises:
        ConfigurationError: With `strict`.
    """
    service = Service.of(settings, patches, env, additions.redactor)
    exporters = ExporterFactory(service).make(settings.exporters, _raise if strict else _logger.error)
    log_failures_once(patches)
    alerts = (additions.start_alerts or _start_alerts)(service)
    recorded = None if exporters.error_listeners or not alerts.listeners else _recorded_errors(service)
    tracing = start_tracing(
        service,
        exporters.named,
        issued,
        enrich=enrich_span,
        observers=[*exporters.observers, *alerts.observers],
        keep_all=exporters.keep_all,
        on_end=counting_unavailable(
            exporters.unavailable, service.losses, None if recorded is None else recorded.on_span_end
        ),
        id_generator=additions.id_generator,
    )
    breach_listeners = [*alerts.breach_listeners, *additions.breach_listeners]
    performance = _measure_performance(service, tracing, exporters, breach_listeners)
    _install_propagation(service, tracing, exporters)
    metrics = start_metrics(service)
    logs = start_logs(
        service,
        issued,
        listeners=[*exporters.error_listeners, *alerts.listeners, *([recorded] if recorded else [])],
        exporters=[*exporters.log_exporters, *additions.log_exporters],
        context_attributes=known_attributes,
        # With Sentry, sentry-sdk's integration of logging decides which records are errors.
        on_error=None if exporters.error_listeners else capture_logged,
    )
    audit = start_audit(service, additions)
    start_finance(service, audit)
    health = _watch_health(service, tracing, audit, alerts)
    instrumentation = instrument_libraries(service)
    # In the order in which they are flushed and closed: a stage comes after those that it listens to.
    stages: list[Stage | None] = [
        tracing,
        *performance.stages,
        *logs,
        *exporters.stages,
        *alerts.stages,
        audit,
        retention_stage(service.policy, audit),
        *metrics,
    ]
    telemetry = Telemetry(
        settings,
        service.redactor,
        Stages([stage for stage in stages if stage is not None], service.losses, service.policy.lifecycle),
        patches,
        exporters=tracing.pipeline.exporters,
        insight=Insight(performance, health, alerts.event_processor),
        instrumentation=instrumentation,
    )
    Lifecycle(
        service.policy.lifecycle,
        started=telemetry.start,
        flush=telemetry.drain,
        shutdown=telemetry.end_with_process,
    ).install(patches)
    telemetry.keep(_log_start(service, tracing))
    telemetry.keep(_warm_up(service))
    return telemetry


def _raise(problem: str) -> None:
    raise ConfigurationError(problem)


def _start_alerts(service: Service) -> AlertComponents:
    return set_up_alerts(
        service.policy, service.redactor, service.losses, service.resource, service.environment, service.env
    )


def _recorded_errors(service: Service) -> RecordedErrors:
    """Return what reports recorded errors to the alerts. With Sentry, its issues are reported instead."""
    policy = service.policy
    return RecordedErrors(
        report_recorded,
        report_issue,
        ignored=[*policy.sentry.ignored_errors, *policy.finance.operations.expected_errors],
        max_held=policy.sentry.max_captured,
    )


def _measure_performance(
    service: Service, tracing: Tracing, exporters: Exporters, breach_listeners: Sequence[BreachListener]
) -> Performance:
    """Summarise durations, of all workers if there is a store, and notify those that listen to breaches."""
    performance = Performance(
        service.policy.summary,
        tracing.measurements,
        tracing.sampling.rate,
        catch_up=tracing.pipeline.first.catch_up,
    )
    if exporters.windows is not None:
        performance.keep_windows(exporters.windows)
    for listener in breach_listeners:
        performance.on_breach(listener)
    return performance


def _install_propagation(service: Service, tracing: Tracing, exporters: Exporters) -> None:
    """Add Sentry's headers to those that `OTEL_PROPAGATORS` names, if there is a Sentry exporter, and redact all."""
    propagator = propagate.get_global_textmap()
    if isinstance(propagator, RedactedPropagator):
        propagator = propagator.propagator
    if exporters.sentry_contexts is not None and service.policy.sentry.propagation.enabled:
        from mita_otel.sentry.propagation import SentryPropagator

        propagator = SentryPropagator(
            service.policy.sentry.propagation,
            propagator,
            exporters.sentry_contexts,
            # With tail sampling a trace is decided when it has ended, so not while it runs.
            decided=lambda: not tracing.sampling.tail,
        )
    install_propagator(RedactedPropagator(service.redactor, propagator), service.patches)


def _watch_health(
    service: Service, tracing: Tracing, audit: LazyAudit | None, alerts: AlertComponents
) -> Health:
    health = Health(
        HealthParts(
            policy=service.policy,
            environment=service.environment,
            service=service.name,
            redactor=service.redactor,
            pipeline=tracing.pipeline,
            losses=service.losses,
            audit=audit,
            alerts=alerts.engine,
        )
    )
    alerts.watch_health(health.results)
    return health


def _warm_up(service: Service) -> WarmUp:
    """Compile the rules of redaction, and load what the first audit entry needs, before a request has to wait for them."""
    steps: list[Callable[[], object]] = []
    if not service.redactor.is_compiled:
        steps.append(service.redactor.compile)
        if service.policy.audit.start != "off":
            steps.append(partial(import_module, "mita_otel.audit.runtime"))
    warm_up = WarmUp(steps, max_wait_s=service.policy.lifecycle.shutdown_timeout_s)
    if steps:
        warm_up.start()
    return warm_up


def _log_start(service: Service, tracing: Tracing) -> StartLine:
    exporters = ", ".join(tracing.pipeline.exporters) or "none"
    line = StartLine(
        f"mita-otel {version_of('mita-otel')}: environment {service.environment}, exporters {exporters}, "
        f"sampling {tracing.sampling.description}, fastapi {service.policy.instrumentation.fastapi}"
    )
    setup = Setup.of(service.policy, tracing.pipeline.exporters, service.env)
    if unused := unused_variables(setup, service.env):
        _logger.warning("%s", "; ".join(unused))
    return line
