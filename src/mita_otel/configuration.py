"""The composition root: reads the policy and the environment, and puts the parts together once."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version

from opentelemetry import propagate
from opentelemetry.sdk.trace.export import SpanExporter

from mita_otel import environment_variables as variables
from mita_otel import semconv
from mita_otel.alerts.starting import start_alerts
from mita_otel.audit.current import install as install_audit
from mita_otel.audit.starting import start_audit
from mita_otel.errors import ConfigurationError
from mita_otel.finance.facts import known_attributes
from mita_otel.finance.middleware import FinancialSentryMiddleware
from mita_otel.finance.recording import capture_from_request, enrich_span
from mita_otel.finance.runtime import FinanceRuntime
from mita_otel.finance.runtime import install as install_finance
from mita_otel.financial_audit import FinancialAudit
from mita_otel.health.health import Health, HealthParts
from mita_otel.instrumentation.fastapi import FastAPIInstrumentation
from mita_otel.instrumentation.sqlalchemy import SQLAlchemyInstrumentation
from mita_otel.instrumentation.threads import carry_context_into_threads
from mita_otel.lifecycle import Lifecycle
from mita_otel.other_signals import start_logs, start_metrics
from mita_otel.performance import Performance
from mita_otel.policy import Policy, PolicyError, default_policy, environment_name, salvage_policy
from mita_otel.policy.limits import lowest_ms
from mita_otel.processors.losses import Losses
from mita_otel.processors.propagation import redact_propagation
from mita_otel.redaction import Redactor
from mita_otel.retention.starting import start_retention
from mita_otel.service_resource import describe_service
from mita_otel.telemetry import Flushable, Telemetry
from mita_otel.tracing import start_tracing
from mita_otel.ways_out import WaysOut

_logger = logging.getLogger("mita_otel")
_lock = threading.Lock()
_configured: tuple[_Settings, Telemetry] | None = None


@dataclass(frozen=True)
class _Settings:
    """Everything that two calls of `configure` are compared by."""

    policy: Policy
    environment: str
    service_name: str | None
    exporters: tuple[str | SpanExporter, ...]


def configure(
    *,
    policy: Policy | str | os.PathLike[str] | None = None,
    environment: str | None = None,
    service_name: str | None = None,
    exporters: Sequence[str | SpanExporter] | None = None,
    strict: bool = False,
) -> Telemetry:
    """Start telemetry for this process: limits, redaction, exporters, instrumentation.

    Call it once, before or after the application object is made; under `opentelemetry-instrument` it has been
    called already. A second call with the same settings returns the same handle; with others it warns once
    and returns the first one's. If the host has a TracerProvider or a Sentry client, they are joined.

    Args:
        policy: A policy, or the path of a policy file. None: the file that is found (see `load_policy`).
        environment: The environment's name. None: `SENTRY_ENVIRONMENT`, `ENVIRONMENT`,
            `deployment.environment.name` of `OTEL_RESOURCE_ATTRIBUTES`, else `production`.
        service_name: None: `OTEL_SERVICE_NAME`, else the name in `SENTRY_RELEASE`.
        exporters: Names or instances. None: `OTEL_TRACES_EXPORTER`, else `export.traces` of the policy.
        strict: Raise for what would otherwise be logged: a bad policy, an unknown exporter, a malformed DSN.

    Returns:
        The handle: `flush()`, `shutdown()`, `instrument(app=…, engine=…)`.

    Raises:
        ConfigurationError: Only with `strict`.
    """
    global _configured
    with _lock:
        settings = _resolve(policy, environment, service_name, exporters, strict, os.environ)
        if _configured is not None:
            return _again(_configured, settings, strict)
        try:
            telemetry = _build(settings, strict, os.environ)
        except Exception as error:
            if strict:
                raise
            # A service without telemetry is better than no service.
            _logger.error("telemetry is off: %s", error if str(error) else type(error).__name__)
            _logger.debug("why telemetry is off", exc_info=True)
            telemetry = _inert(settings)
        _configured = (settings, telemetry)
        return telemetry


def configured() -> Telemetry | None:
    """Return the handle of the call of `configure` that took effect; None: there was none."""
    return _configured[1] if _configured is not None else None


def _inert(settings: _Settings) -> Telemetry:
    install_audit(None)
    install_finance(None)
    try:
        redactor = Redactor(settings.policy.redaction)
    except ConfigurationError:
        redactor = Redactor(default_policy(settings.environment).redaction)
    return Telemetry(
        policy=settings.policy,
        environment=settings.environment,
        redactor=redactor,
        exporters={},
        losses=None,
        flushables=(),
    )


def _again(first: tuple[_Settings, Telemetry], settings: _Settings, strict: bool) -> Telemetry:
    known, telemetry = first
    if settings != known:
        differing = [
            name for name in _Settings.__dataclass_fields__ if getattr(known, name) != getattr(settings, name)
        ]
        message = (
            f"configure() was called again with another {', '.join(differing)}; the first call's settings stay. "
            "Call it once, or end the first with shutdown() in a process of its own"
        )
        if strict:
            raise ConfigurationError(message)
        _warn_once(message)
    return telemetry


_warned: set[str] = set()


def _warn_once(message: str) -> None:
    if message not in _warned:
        _warned.add(message)
        _logger.warning(message)


def _resolve(
    policy: Policy | str | os.PathLike[str] | None,
    environment: str | None,
    service_name: str | None,
    exporters: Sequence[str | SpanExporter] | None,
    strict: bool,
    env: Mapping[str, str],
) -> _Settings:
    name = environment_name(environment, env)
    effective = policy if isinstance(policy, Policy) else _load(policy, name, strict, env)
    if exporters is None:
        from_env = env.get(variables.TRACES_EXPORTER, "").strip()
        exporters = from_env.split(",") if from_env else effective.export.traces
    return _Settings(
        effective,
        name,
        service_name,
        tuple(one.strip() if isinstance(one, str) else one for one in exporters),
    )


def _load(
    path: str | os.PathLike[str] | None, environment: str, strict: bool, env: Mapping[str, str]
) -> Policy:
    loaded = salvage_policy(path, environment=environment, env=env)
    if loaded.problems:
        error = PolicyError(loaded.problems)
        if strict:
            raise error
        _warn_once(f"{error}\nWhat is named here is left out; the rest of the policy holds.")
    return loaded.policy


def _build(settings: _Settings, strict: bool, env: Mapping[str, str]) -> Telemetry:
    policy = settings.policy
    if env.get(variables.SDK_DISABLED, "").strip().lower() == "true":
        _logger.info("%s is set: mita-otel does nothing", variables.SDK_DISABLED)
        return _inert(settings)
    redactor = Redactor(policy.redaction)
    resource = describe_service(settings.environment, settings.service_name, env)
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
        thin_out=not ways_out.only_stand_ins,
    )
    performance = Performance(policy.summary, tracing.measurements, tracing.sampling.rate)
    if ways_out.windows is not None:
        performance.keep_windows(ways_out.windows)
    _propagate(policy, ways_out, decided=not tracing.sampling.tail)
    redact_propagation(redactor)
    flushables: list[Flushable] = [
        tracing.provider,
        *performance.flushables,
        *start_metrics(resource, redactor, policy.lifecycle),
        *start_logs(
            resource,
            redactor,
            losses,
            policy,
            listeners=[*ways_out.error_listeners, *alerts.listeners],
            more=ways_out.log_exporters,
            known_here=known_attributes,
        ),
    ]
    flushables.extend(alerts.flushables)
    for listener in alerts.breach_listeners:
        performance.on_breach(listener)
    service = str(resource.attributes.get(semconv.SERVICE_NAME, ""))
    audit = start_audit(policy, redactor, environment=settings.environment, service=service, env=env)
    flushables.extend(one for one in (audit, start_retention(policy, audit)) if one is not None)
    if audit is None:
        install_finance(FinanceRuntime(policy.finance))
    else:
        sink = FinancialAudit(policy.audit, audit.trail)
        install_finance(FinanceRuntime(policy.finance, audit=sink, wants_access=sink.wants_access))
    middleware = FinancialSentryMiddleware if policy.finance.middleware else None
    applications = FastAPIInstrumentation(policy.instrumentation, middleware, capture_from_request)
    engines = SQLAlchemyInstrumentation(
        policy.instrumentation, slow_checkout_ms=lowest_ms(policy.thresholds.checkout.limit_ms)
    )
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
    lifecycle = Lifecycle(
        policy.lifecycle,
        flush=lambda timeout_s: telemetry.finish(timeout_s),
        shutdown=lambda timeout_s: telemetry.shutdown(timeout_s),
    )
    telemetry = Telemetry(
        policy=policy,
        environment=settings.environment,
        redactor=redactor,
        exporters=tracing.pipeline.exporters,
        holding=[tracing.pipeline.sampler, tracing.measurements.writer],
        performance=performance,
        health=health,
        losses=losses,
        flushables=flushables,
        applications=applications,
        engines=engines,
        on_shutdown=partial(_end, lifecycle, ways_out),
    )
    disabled = {name.strip() for name in env.get(variables.DISABLED_INSTRUMENTATIONS, "").split(",")}
    if policy.instrumentation.fastapi != "off" and not disabled & {"fastapi", "*"}:
        applications.install()
    if policy.instrumentation.sqlalchemy and not disabled & {"sqlalchemy", "*"}:
        engines.install()
    if policy.instrumentation.threads and not disabled & {"threading", "*"}:
        carry_context_into_threads()
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


def _end(lifecycle: Lifecycle, ways_out: WaysOut) -> None:
    lifecycle.remove()
    ways_out.close()
    install_finance(None)
