"""The composition root: puts the parts together by the policy and the environment's variables."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from importlib.metadata import version

from opentelemetry import propagate

from mita_otel import environment_variables as variables
from mita_otel import semconv
from mita_otel.alerts.starting import start_alerts
from mita_otel.audit.current import install as install_audit
from mita_otel.audit.retention.starting import start_retention
from mita_otel.audit.starting import AuditRoom, start_audit
from mita_otel.errors import ConfigurationError
from mita_otel.finance.facts import known_attributes
from mita_otel.finance.middleware import FinancialSentryMiddleware
from mita_otel.finance.recording import capture_from_request, enrich_span
from mita_otel.finance.runtime import FinanceRuntime
from mita_otel.finance.runtime import install as install_finance
from mita_otel.instrumentation.fastapi import FastAPIInstrumentation
from mita_otel.instrumentation.sqlalchemy import SQLAlchemyInstrumentation
from mita_otel.instrumentation.threads import ThreadInstrumentation
from mita_otel.policy import Policy, default_policy
from mita_otel.policy.limits import lowest_ms
from mita_otel.processors.propagation import redact_propagation
from mita_otel.processors.queues.losses import Losses
from mita_otel.redaction import Redactor
from mita_otel.sdk.exporter_factory import WaysOut
from mita_otel.sdk.financial_audit import FinancialAudit
from mita_otel.sdk.health.health import Health, HealthParts
from mita_otel.sdk.lifecycle import Lifecycle
from mita_otel.sdk.metrics_and_logs import start_logs, start_metrics
from mita_otel.sdk.performance import Performance
from mita_otel.sdk.resource import describe_service
from mita_otel.sdk.settings import Settings
from mita_otel.sdk.stages import Stages
from mita_otel.sdk.telemetry import Insight, Instrumentation, Telemetry
from mita_otel.sdk.tracing import start_tracing

_logger = logging.getLogger("mita_otel")


def switched_off(env: Mapping[str, str]) -> bool:
    """Return whether OpenTelemetry's own variable switches telemetry off."""
    return env.get(variables.SDK_DISABLED, "").strip().lower() == "true"


def inert(settings: Settings) -> Telemetry:
    """Return a handle that does nothing, for a service whose telemetry is off; what was installed before is taken back."""
    install_audit(None)
    install_finance(None)
    try:
        redactor = Redactor(settings.policy.redaction)
    except ConfigurationError:
        redactor = Redactor(default_policy(settings.environment).redaction)
    losses = Losses(cool_down_s=settings.policy.thresholds.log.cool_down_s)
    return Telemetry(settings, redactor, Stages((), losses, settings.policy.lifecycle))


def compose(settings: Settings, strict: bool, env: Mapping[str, str]) -> Telemetry:
    """Put telemetry together, and start it.

    Args:
        settings: What was asked for.
        strict: Raise for an exporter that cannot be opened, instead of logging it.
        env: The environment's variables.

    Raises:
        ConfigurationError: With `strict`.
    """
    policy = settings.policy
    if switched_off(env):
        _logger.info("%s is set: mita-otel does nothing", variables.SDK_DISABLED)
        return inert(settings)
    redactor = Redactor(policy.redaction)
    resource = describe_service(settings.environment, settings.service_name, env)
    service = str(resource.attributes.get(semconv.SERVICE_NAME, ""))
    losses = Losses(cool_down_s=policy.thresholds.log.cool_down_s)
    ways_out = WaysOut(policy, redactor, settings.environment, resource, losses, env)
    found = ways_out.open(settings.exporters)
    for problem in found.problems:
        if strict:
            raise ConfigurationError(problem)
        _logger.error("%s", problem)
    alerts = start_alerts(policy, redactor, losses, resource, settings.environment, env)
    tracing = start_tracing(
        policy,
        redactor,
        found.exporters,
        losses,
        resource,
        env,
        enrich=enrich_span,
        observers=[*ways_out.observers, *alerts.observers],
        thin_out=not ways_out.keeps_everything,
    )
    performance = Performance(
        policy.summary,
        tracing.measurements,
        tracing.sampling.rate,
        catch_up=tracing.pipeline.first.catch_up,
    )
    if ways_out.windows is not None:
        performance.keep_windows(ways_out.windows)
    for listener in alerts.breach_listeners:
        performance.on_breach(listener)
    _propagate(policy, ways_out, decided=not tracing.sampling.tail)
    redact_propagation(redactor)
    metrics = start_metrics(resource, redactor, losses, policy.lifecycle)
    logs = start_logs(
        resource,
        redactor,
        losses,
        policy,
        listeners=[*ways_out.error_listeners, *alerts.listeners],
        more=ways_out.log_exporters,
        known_here=known_attributes,
    )
    audit = start_audit(policy, redactor, environment=settings.environment, service=service, env=env)
    _finance(policy, audit)
    health = Health(
        HealthParts(
            policy=policy,
            environment=settings.environment,
            service=service,
            redactor=redactor,
            pipeline=tracing.pipeline,
            losses=losses,
            trail=None if audit is None else audit.trail,
            alerts=alerts.engine,
        )
    )
    alerts.watch_health(health.looks)
    threads = ThreadInstrumentation()
    applications, engines = _instrument(policy, env, threads)
    # In the order in which they are flushed and closed: a stage comes after those that it listens to.
    parts = [
        tracing,
        *performance.stages,
        *logs,
        *alerts.stages,
        audit,
        start_retention(policy, audit),
        *metrics,
    ]
    telemetry = Telemetry(
        settings,
        redactor,
        Stages([part for part in parts if part is not None], losses, policy.lifecycle),
        exporters=tracing.pipeline.exporters,
        insight=Insight(performance, health, alerts.intake),
        instrumentation=Instrumentation(applications, engines),
        on_shutdown=lambda: _end(lifecycle, ways_out, threads),
    )
    lifecycle = Lifecycle(
        policy.lifecycle, flush=telemetry.drain, shutdown=telemetry.shutdown, started=telemetry.start
    )
    lifecycle.install()
    _logger.info(
        "mita-otel %s: environment %s, exporters %s, sampling %s, fastapi %s",
        version("mita-otel"),
        settings.environment,
        ", ".join(tracing.pipeline.exporters) or "none",
        tracing.sampling.description,
        policy.instrumentation.fastapi,
    )
    return telemetry


def _finance(policy: Policy, audit: AuditRoom | None) -> None:
    """Install what the financial API runs on; what it does is audited if there is a trail."""
    if audit is None:
        install_finance(FinanceRuntime(policy.finance))
    else:
        sink = FinancialAudit(policy.audit, audit.trail)
        install_finance(FinanceRuntime(policy.finance, audit=sink, wants_access=sink.wants_access))


def _instrument(
    policy: Policy, env: Mapping[str, str], threads: ThreadInstrumentation
) -> tuple[FastAPIInstrumentation, SQLAlchemyInstrumentation]:
    """Have applications, engines and threads measured, each as far as the policy and the variable allow."""
    middleware = FinancialSentryMiddleware if policy.finance.middleware else None
    applications = FastAPIInstrumentation(policy.instrumentation, middleware, capture_from_request)
    engines = SQLAlchemyInstrumentation(
        policy.instrumentation, slow_checkout_ms=lowest_ms(policy.thresholds.checkout.limit_ms)
    )
    disabled = variables.disabled_instrumentations(env)
    if disabled & {"fastapi", "*"}:
        applications.silence()
    else:
        applications.install()
    if policy.instrumentation.sqlalchemy and not disabled & {"sqlalchemy", "*"}:
        engines.install()
    if policy.instrumentation.threads and not disabled & {"threading", "*"}:
        threads.install()
    return applications, engines


def _propagate(policy: Policy, ways_out: WaysOut, *, decided: bool) -> None:
    """Add Sentry's headers to those that `OTEL_PROPAGATORS` names, if there is a Sentry exporter.

    Args:
        policy: Whether, and to whom.
        ways_out: Has the exporter's sampling contexts.
        decided: Whether it is known while a trace runs if it is kept.
    """
    if ways_out.sentry_contexts is None or not policy.sentry.propagation.enabled:
        return
    from mita_otel.sentry.propagation import SentryPropagator

    propagate.set_global_textmap(
        SentryPropagator(
            policy.sentry.propagation,
            propagate.get_global_textmap(),
            ways_out.sentry_contexts,
            decided=lambda: decided,
        )
    )


def _end(lifecycle: Lifecycle, ways_out: WaysOut, threads: ThreadInstrumentation) -> None:
    lifecycle.remove()
    threads.remove()
    ways_out.close()
    install_finance(None)
