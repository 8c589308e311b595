"""Variables of OpenTelemetry's that are set and have no effect here. The start's log and `mita-otel doctor` name them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NamedTuple

from mita_otel import environment_variables as variables
from mita_otel.instrumentation.fastapi import fastapi_source
from mita_otel.policy import Policy


class Setup(NamedTuple):
    """What decides whether a variable has an effect."""

    policy: Policy
    exporters: Mapping[str, Collection[str]]
    """Names of the exporters by signal: `TRACES`, `METRICS`, `LOGS`."""

    @classmethod
    def of(cls, policy: Policy, traces: Collection[str], env: Mapping[str, str]) -> Setup:
        """Return the set-up of a service: its policy, its span exporters and the exporters that variables name."""
        return cls(
            policy,
            {
                "TRACES": traces,
                "METRICS": _names(env.get(variables.METRICS_EXPORTER, "")),
                "LOGS": _names(env.get(variables.LOGS_EXPORTER, "")),
            },
        )


def unused_variables(setup: Setup, env: Mapping[str, str]) -> list[str]:
    """Return a sentence for each variable without effect: its name, the reason, the fix."""
    return [f"{name} has no effect: {why}" for name, why in without_effect(setup, env).items()]


def without_effect(setup: Setup, env: Mapping[str, str]) -> dict[str, str]:
    """Return the variables without effect, with the reason and the fix of each."""
    return {
        name: why
        for name in sorted(env)
        if name.startswith("OTEL_") and env[name].strip() and (why := _why(name, setup))
    }


def _why(name: str, setup: Setup) -> str | None:
    for prefix, check in _CHECKS.items():
        if name.startswith(prefix) and (why := check(name, setup)):
            return why
    return None


def _otlp(name: str, setup: Setup) -> str | None:
    signals = [one for one in setup.exporters if name.startswith(f"OTEL_EXPORTER_OTLP_{one}_")]
    for signal in signals or setup.exporters:
        if any(one.lower().startswith("otlp") for one in setup.exporters[signal]):
            return None
    variable = f"OTEL_{signals[0] if signals else 'TRACES'}_EXPORTER"
    return f"no exporter is otlp; set {variable}=otlp, or unset it"


def _prometheus(name: str, setup: Setup) -> str | None:
    if "prometheus" in setup.exporters["METRICS"]:
        return None
    return f"no exporter is prometheus; set {variables.METRICS_EXPORTER}=prometheus, or unset it"


def _other_exporter(name: str, setup: Setup) -> str | None:
    kind = name.split("_")[2].lower()
    if any(kind in one for names in setup.exporters.values() for one in names):
        return None
    return f"no exporter is {kind}; unset it"


def _metric_interval(name: str, setup: Setup) -> str | None:
    pushing = set(setup.exporters["METRICS"]) - {"prometheus", "none"}
    return None if pushing else f"no metrics are pushed; set {variables.METRICS_EXPORTER}=otlp, or unset it"


def _log_queue(name: str, setup: Setup) -> str | None:
    if name.endswith("_EXPORT_TIMEOUT"):
        return _export_timeout(name, setup)
    logs = set(setup.exporters["LOGS"]) - {"none"} or setup.policy.sentry.logs
    return None if logs else f"no log records are exported; set {variables.LOGS_EXPORTER}, or unset it"


def _export_timeout(name: str, setup: Setup) -> str | None:
    if not name.endswith("_EXPORT_TIMEOUT"):
        return None
    return "each exporter has a timeout of its kind, such as OTEL_EXPORTER_OTLP_TIMEOUT; set that one"


def _of_contrib(name: str, setup: Setup) -> str | None:
    """FastAPI's own telemetry captures no headers."""
    if (
        "CLIENT" in name
        or fastapi_source(setup.policy.instrumentation, _fastapi_has_telemetry()) == "contrib"
    ):
        return None
    return 'FastAPI\'s own telemetry does not read it; set instrumentation.fastapi = "contrib" in the policy, or unset it'


def _of_starlette(name: str, setup: Setup) -> str | None:
    if find_spec("fastapi") is None:
        return None
    return (
        "FastAPI applications are instrumented instead of Starlette's; set OTEL_PYTHON_FASTAPI_EXCLUDED_URLS"
    )


def _always(why: str) -> Callable[[str, Setup], str]:
    return lambda name, setup: why


_PROVIDERS: Final = _always("mita-otel configures its providers by the policy; unset it")

_CHECKS: Final[Mapping[str, Callable[[str, Setup], str | None]]] = {
    "OTEL_EXPORTER_OTLP_": _otlp,
    "OTEL_EXPORTER_PROMETHEUS_": _prometheus,
    "OTEL_EXPORTER_ZIPKIN_": _other_exporter,
    "OTEL_EXPORTER_JAEGER_": _other_exporter,
    "OTEL_METRIC_EXPORT_": _metric_interval,
    "OTEL_BSP_": _export_timeout,
    "OTEL_BLRP_": _log_queue,
    "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_": _of_contrib,
    "OTEL_PYTHON_INSTRUMENTATION_HTTP_CAPTURE_ALL_METHODS": _of_contrib,
    "OTEL_PYTHON_STARLETTE_EXCLUDED_URLS": _of_starlette,
    "OTEL_PYTHON_TRACER_CONFIGURATOR": _PROVIDERS,
    "OTEL_PYTHON_METER_CONFIGURATOR": _PROVIDERS,
    "OTEL_PYTHON_LOGGER_CONFIGURATOR": _PROVIDERS,
    "OTEL_PYTHON_LOGGING_AUTO_INSTRUMENTATION_ENABLED": _always(
        "instrumentation.logging of the policy decides which records are exported; unset it"
    ),
    "OTEL_LOG_LEVEL": _always(
        "OpenTelemetry's Python SDK does not read it; set the level of the logger opentelemetry"
    ),
}
"""By the beginning of a name: returns the reason and a fix, or None if the variable has an effect."""


def _names(text: str) -> list[str]:
    return [name for one in text.split(",") if (name := one.strip())]


def _fastapi_has_telemetry() -> bool:
    """Return whether the installed FastAPI has its own telemetry, without importing it."""
    spec = find_spec("fastapi")
    folders = spec.submodule_search_locations if spec is not None else None
    return any((Path(folder) / "telemetry").is_dir() for folder in folders or ())
