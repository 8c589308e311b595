"""`configure()`: reads the arguments, the environment and the policy; composes telemetry once a process."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping, Sequence

from opentelemetry.sdk.trace.export import SpanExporter

from mita_otel import environment_variables as variables
from mita_otel.errors import ConfigurationError
from mita_otel.policy import Policy, PolicyError, environment_name, salvage_policy
from mita_otel.sdk.composition import Settings, compose, inert
from mita_otel.sdk.env_check import without_unusable
from mita_otel.sdk.telemetry import Telemetry

_logger = logging.getLogger("mita_otel")
_lock = threading.Lock()
_configured: tuple[Settings, Telemetry] | None = None


def configure(
    *,
    policy: Policy | str | os.PathLike[str] | None = None,
    environment: str | None = None,
    service_name: str | None = None,
    exporters: Sequence[str | SpanExporter] | str | None = None,
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
        exporters: Names or instances; one text may hold several names, as in `OTEL_TRACES_EXPORTER`. None: that
            variable, else `export.traces` of the policy.
        strict: Raise for what would otherwise be logged: a bad policy, an unknown exporter, a malformed DSN, a value of
            a variable of OpenTelemetry's that cannot be used.

    Returns:
        The handle: `flush()`, `shutdown()`, `instrument(app=…, engine=…)`.

    Raises:
        ConfigurationError: Only with `strict`.
    """
    global _configured
    with _lock, without_unusable(os.environ) as problems:
        for problem in problems:
            if strict:
                raise ConfigurationError(problem)
            _warn_once(problem)
        try:
            settings = _resolve(policy, environment, service_name, exporters, strict, os.environ)
        except (TypeError, AttributeError) as error:  # an argument of a wrong type
            if strict:
                raise
            _logger.error("configure() could not use its arguments (%s): it goes on without them", error)
            settings = _resolve(None, None, None, None, strict, os.environ)
        if _configured is not None:
            return _again(_configured, settings, strict)
        try:
            telemetry = compose(settings, strict, os.environ)
        except Exception as error:
            if strict:
                raise
            # A service without telemetry is better than no service.
            _logger.error("telemetry is off: %s", error if str(error) else type(error).__name__)
            _logger.debug("why telemetry is off", exc_info=True)
            telemetry = inert(settings)
        _configured = (settings, telemetry)
        return telemetry


def configured() -> Telemetry | None:
    """Return the handle of the call of `configure` that took effect; None: there was none."""
    return _configured[1] if _configured is not None else None


def _again(first: tuple[Settings, Telemetry], settings: Settings, strict: bool) -> Telemetry:
    known, telemetry = first
    if telemetry.ended:
        message = "configure() was called after shutdown(): telemetry has ended, and starts once in a process"
        if strict:
            raise ConfigurationError(message)
        _warn_once(message)
        return telemetry
    if settings != known:
        differing = [
            name for name in Settings.__dataclass_fields__ if getattr(known, name) != getattr(settings, name)
        ]
        message = (
            f"configure() was called again with another {', '.join(differing)}; the first call's settings stay: "
            "call it once in a process"
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
    exporters: Sequence[str | SpanExporter] | str | None,
    strict: bool,
    env: Mapping[str, str],
) -> Settings:
    name = environment_name(environment, env)
    effective = policy if isinstance(policy, Policy) else _load(policy, name, strict, env)
    if exporters is None:
        exporters = env.get(variables.TRACES_EXPORTER, "").strip() or effective.export.traces
    if isinstance(exporters, str):
        exporters = exporters.split(",")
    return Settings(
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
