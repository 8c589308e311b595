"""`configure()`: reads the arguments, the environment and the policy; composes telemetry."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, NoReturn

from mita_otel import environment_variables as variables
from mita_otel.errors import ConfigurationError

if TYPE_CHECKING:  # not loaded if telemetry is switched off
    from opentelemetry.sdk.trace.export import SpanExporter

    from mita_otel.instrumentation.patches import Patches
    from mita_otel.policy import Policy
    from mita_otel.processors.providers import IssuedHandles
    from mita_otel.sdk.composition import Additions
    from mita_otel.sdk.service import Settings
    from mita_otel.sdk.telemetry import Telemetry

_logger = logging.getLogger("mita_otel")
_lock = threading.Lock()
_configured: tuple[Settings | None, Telemetry] | None = None
"""The settings that took effect, and the handle. Without settings, telemetry was switched off."""


@cache
def _handed_out() -> IssuedHandles:
    """Return the tracers, loggers and instruments that the application keeps."""
    from mita_otel.processors.providers import IssuedHandles

    return IssuedHandles()


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
    and returns the first one's. After `shutdown()` it starts telemetry anew. If the host has a TracerProvider or a
    Sentry client, they are joined.

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
    if switched_off(os.environ):
        return _disabled(policy, environment, service_name, exporters, strict)
    from mita_otel.sdk.env_check import import_opentelemetry

    import_opentelemetry()
    return _enabled(policy, environment, service_name, exporters, strict)


def switched_off(env: Mapping[str, str]) -> bool:
    """Return whether OpenTelemetry's own variable switches telemetry off."""
    return env.get(variables.SDK_DISABLED, "").strip().lower() == "true"


def _disabled(
    policy: Policy | str | os.PathLike[str] | None,
    environment: str | None,
    service_name: str | None,
    exporters: Sequence[str | SpanExporter] | str | None,
    strict: bool,
) -> Telemetry:
    from mita_otel.sdk.disabled import DisabledTelemetry

    def resolve(env: Mapping[str, str]) -> Settings:
        from mita_otel.sdk.service import Arguments

        arguments = Arguments(policy, environment, service_name, exporters)
        return arguments.resolve(env, _raise if strict else _log_once, _log_once)

    global _configured
    with _lock:
        if _configured is None or _configured[1].ended:
            if strict:
                resolve(os.environ)
            _logger.info("%s is set: mita-otel does nothing", variables.SDK_DISABLED)
            _configured = (None, DisabledTelemetry(resolve))
        return _configured[1]


def _enabled(
    policy: Policy | str | os.PathLike[str] | None,
    environment: str | None,
    service_name: str | None,
    exporters: Sequence[str | SpanExporter] | str | None,
    strict: bool,
) -> Telemetry:
    from mita_otel.instrumentation.patches import Patches
    from mita_otel.sdk.env_check import without_unusable
    from mita_otel.sdk.service import Arguments

    global _configured
    report = _raise if strict else _log_once
    patches = Patches()
    with _lock, _reverted_on_error(patches), without_unusable(os.environ, patches) as problems:
        for problem in problems:
            report(ConfigurationError(problem))
        try:
            settings = Arguments(policy, environment, service_name, exporters).resolve(
                os.environ, report, _log_once
            )
        except (TypeError, AttributeError) as error:  # an argument of a wrong type
            if strict:
                raise
            _logger.error("configure() could not use its arguments (%s) and ignores them", error)
            settings = Arguments().resolve(os.environ, report, _log_once)
        if _configured is not None and not _configured[1].ended:
            return _again(*_configured, settings, report)
        _configured = (settings, _compose(settings, strict, patches))
        return _configured[1]


def _compose(settings: Settings, strict: bool, patches: Patches) -> Telemetry:
    from mita_otel.sdk.composition import compose, inert

    try:
        return compose(settings, _handed_out(), strict, patches, os.environ)
    except Exception as error:
        if strict:
            raise
        # A service without telemetry is better than no service.
        patches.revert()
        _logger.error("telemetry is off: %s", error if str(error) else type(error).__name__)
        _logger.debug("why telemetry is off", exc_info=True)
        return inert(settings)


@contextmanager
def _reverted_on_error(patches: Patches) -> Iterator[None]:
    try:
        yield
    except BaseException:
        patches.revert()
        raise


def put_aside() -> Callable[[], None]:
    """Let the process be as it was before any call of `configure`: for tests.

    Returns:
        A function that makes the configuration of before the process's again.
    """
    global _configured
    before, warned = _configured, set(_warned)
    _configured = None
    _warned.clear()

    def restore() -> None:
        global _configured
        _configured = before
        _warned.clear()
        _warned.update(warned)

    return restore


def compose_for_test(settings: Settings, env: Mapping[str, str], additions: Additions) -> Telemetry:
    """Start telemetry for a test, with what the test adds. `configure()` returns its handle until it ends.

    Args:
        settings: What was asked for.
        env: The environment variables.
        additions: What the test adds or replaces.

    Raises:
        ConfigurationError: A setting cannot be used.
    """
    from mita_otel.instrumentation.patches import Patches
    from mita_otel.sdk.composition import compose

    global _configured
    patches = Patches()
    with _lock, _reverted_on_error(patches):
        telemetry = compose(settings, _handed_out().borrowed(), True, patches, env, additions)
        _configured = (settings, telemetry)
        return telemetry


def move_handles(tracer_provider: object, logger_provider: object) -> None:
    """Let tracers and loggers that the application keeps use these providers, if they are the SDK's."""
    _handed_out().move(tracer_provider, logger_provider)


def configured() -> Telemetry | None:
    """Return the handle of the call of `configure` that took effect; None: there was none."""
    return _configured[1] if _configured is not None else None


def _again(
    first: Settings | None, telemetry: Telemetry, settings: Settings, report: Callable[[Exception], object]
) -> Telemetry:
    """Return the first call's handle, and report what a second call cannot change."""
    if first is not None and (differing := first.differences(settings)):
        message = (
            f"configure() was called again with another {', '.join(differing)}; the first call's settings apply: "
            "call it once, or call shutdown() before"
        )
        report(ConfigurationError(message))
    return telemetry


_warned: set[str] = set()


def _log_once(problem: Exception | str) -> None:
    from mita_otel.policy.errors import PolicyError

    message = (
        f"{problem}\nThe rest of the policy applies." if isinstance(problem, PolicyError) else str(problem)
    )
    if message not in _warned:
        _warned.add(message)
        _logger.warning(message)


def _raise(problem: Exception) -> NoReturn:
    raise problem
