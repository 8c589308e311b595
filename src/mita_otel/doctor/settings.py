"""Checks of settings: policy, service, exporters, variables, and variables whose names are misspelt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from mita_otel import environment_variables as variables
from mita_otel import semconv
from mita_otel._otel_compat.sdk_configuration import asked_exporters
from mita_otel.exporters.registry import exporter_names, why_missing
from mita_otel.policy import Policy
from mita_otel.policy.loading import DEFAULT_ENVIRONMENT, LoadedPolicy
from mita_otel.sdk.configuration import switched_off
from mita_otel.sdk.exporter_factory import ExporterFactory
from mita_otel.sdk.health.check import Check, Status
from mita_otel.sdk.metrics_and_logs import EXPORTER_VARIABLES
from mita_otel.sdk.service import describe_service
from mita_otel.sdk.unused_variables import Setup, unused_variables

_PREFIXES: Final = ("OTEL_", "SENTRY_", "MITA_OTEL_")
_SIMILAR: Final = 0.85
_VERY_SIMILAR: Final = 0.9
"""For names without one of the prefixes, and for those that single instrumentations read."""
_OF_INSTRUMENTATIONS: Final = ("OTEL_PYTHON_", "OTEL_INSTRUMENTATION_")
_SHORTEST: Final = 9
"""Characters of the shortest name that is compared, as `SENTRY_DN`."""
_OF_SENTRY: Final = (
    "SENTRY_API_KEY", "SENTRY_BAGGAGE", "SENTRY_DIST", "SENTRY_DOTENV_PATH", "SENTRY_HTTP_MAX_RETRIES",
    "SENTRY_LOAD_DOTENV", "SENTRY_LOG_LEVEL", "SENTRY_NO_PROGRESS_BAR", "SENTRY_PIPELINE", "SENTRY_PROJECT",
    "SENTRY_PROPERTIES", "SENTRY_SAMPLE_RATE", "SENTRY_TRACE", "SENTRY_USE_ENVIRONMENT", "SENTRY_VCS_REMOTE",
)  # fmt: skip
"""Names that sentry-sdk and sentry-cli read."""
_OF_OPENTELEMETRY: Final = (
    "OTEL_ENTITIES", "OTEL_EXPORTER_OTLP_INSECURE", "OTEL_EXPORTER_PROMETHEUS_HOST", "OTEL_EXPORTER_ZIPKIN_ENDPOINT",
    "OTEL_PYTHON_EXCLUDED_URLS", "OTEL_SERVICE_VERSION",
)  # fmt: skip
"""Names in use that no installed package declares."""


def switch_check(env: Mapping[str, str]) -> Check:
    """Check that telemetry is not disabled."""
    if switched_off(env):
        return Check("switch", Status.FAIL, f"{variables.SDK_DISABLED} is true: telemetry is off; unset it")
    return Check("switch", Status.PASS, "telemetry is on")


def policy_check(loaded: LoadedPolicy, problems: tuple[str, ...], env: Mapping[str, str]) -> Check:
    """Check that the whole policy is valid, and name the environment."""
    if problems:
        return Check("policy", Status.FAIL, "; ".join(problems))
    origin = str(loaded.file) if loaded.file else "defaults, no policy file"
    named = any(env.get(one, "").strip() for one in (variables.SENTRY_ENVIRONMENT, variables.ENVIRONMENT))
    named = named or any(
        name in env.get(variables.RESOURCE_ATTRIBUTES, "") for name in semconv.DEPLOYMENT_ENVIRONMENT
    )
    why = (
        ""
        if named or loaded.environment != DEFAULT_ENVIRONMENT
        else f" (default, {variables.SENTRY_ENVIRONMENT} is not set)"
    )
    if loaded.unknown_environment:
        fix = f"correct {variables.SENTRY_ENVIRONMENT}, or add [environments.{loaded.environment}] to the policy"
        return Check("policy", Status.WARN, f"{loaded.unknown_environment}; {fix}")
    return Check("policy", Status.PASS, f"{origin}, environment {loaded.environment}{why}")


def service_check(environment: str, env: Mapping[str, str]) -> Check:
    """Check that the service has a name."""
    name = str(describe_service(environment, None, env).attributes.get(semconv.SERVICE_NAME, ""))
    if not name or name.startswith("unknown_service"):
        message = f"the service has no name and is shown as {name or 'unknown_service'}: set {variables.SERVICE_NAME}"
        return Check("service", Status.WARN, message)
    return Check("service", Status.PASS, name)


def config_file_check(env: Mapping[str, str]) -> Iterator[Check]:
    """Check that OpenTelemetry's configuration file can be read, if one is set."""
    path = env.get(variables.CONFIG_FILE, "")
    if not path:
        return
    if not Path(path).is_file():
        message = f"{variables.CONFIG_FILE}={path}: no such file; correct or unset it"
        yield Check("config-file", Status.FAIL, message)
    elif find_spec("opentelemetry.configuration") is None:
        message = f"{variables.CONFIG_FILE} is set, but no installed package reads it: pip install opentelemetry-configuration"
        yield Check("config-file", Status.FAIL, message)
    else:
        yield Check("config-file", Status.PASS, path)


def distro_checks(env: Mapping[str, str]) -> Iterator[Check]:
    """Check that `opentelemetry-instrument` starts this distribution."""
    for variable, group in (
        (variables.DISTRO, "opentelemetry_distro"),
        (variables.CONFIGURATOR, "opentelemetry_configurator"),
    ):
        name = "distro" if variable == variables.DISTRO else "configurator"
        known = sorted({point.name for point in entry_points(group=group)})
        wanted = env.get(variable, "")
        others = [one for one in known if one != "mita_otel"]
        if "mita_otel" not in known:
            yield Check(
                name,
                Status.FAIL,
                "mita_otel is not registered; pip install --force-reinstall mita-otel",
            )
        elif wanted and wanted not in known:
            message = f"{variable}={wanted}: not installed; set it to mita_otel"
            yield Check(name, Status.FAIL, message)
        elif wanted and wanted != "mita_otel":
            message = (
                f"{variable}={wanted} selects another one, so mita-otel does not start; set it to mita_otel"
            )
            yield Check(name, Status.FAIL, message)
        elif others and not wanted:
            message = (
                f"{', '.join(others)} is installed as well, and either may start: set {variable}=mita_otel"
            )
            yield Check(name, Status.FAIL, message)
        else:
            yield Check(name, Status.PASS, "mita_otel")


def unused_variables_check(policy: Policy, env: Mapping[str, str]) -> Iterator[Check]:
    """Check that each variable of OpenTelemetry's that is set has an effect."""
    unused = unused_variables(Setup.of(policy, wanted_exporters(policy, env), env), env)
    if unused:
        yield Check("unused-variables", Status.WARN, "; ".join(unused))


def sampler_check(env: Mapping[str, str]) -> Check:
    """Check that no OpenTelemetry sampler overrides the policy."""
    sampler = env.get(variables.TRACES_SAMPLER, "").strip()
    if sampler.endswith("always_off"):
        message = f"{variables.TRACES_SAMPLER}={sampler}: no trace is kept; unset it"
        return Check("sampling", Status.FAIL, message)
    if sampler:
        message = (
            f"{variables.TRACES_SAMPLER}={sampler} overrides sampling.mode, slow traces may be lost; unset it"
        )
        return Check("sampling", Status.WARN, message)
    return Check("sampling", Status.PASS, "by the policy")


def wanted_exporters(policy: Policy, env: Mapping[str, str]) -> list[str]:
    """Return the distinct names of the span exporters."""
    named = env.get(variables.TRACES_EXPORTER, "").strip()
    wanted = [one.strip() for one in named.split(",")] if named else policy.export.traces
    return [name for name in dict.fromkeys(wanted) if name and name != "none"]


def exporter_checks(policy: Policy, env: Mapping[str, str]) -> Iterator[Check]:
    """Check that the selected exporters exist. `otlp` and `file` have their own checks."""
    known = exporter_names(ExporterFactory.MAKERS)
    wanted = wanted_exporters(policy, env)
    if not wanted:
        message = f"no exporter is selected, so traces are dropped; set or unset {variables.TRACES_EXPORTER}"
        yield Check("exporters", Status.WARN, message)
    for name in wanted:
        if name not in known:
            message = f"unknown exporter {name!r}; use one of {', '.join(known)}"
            yield Check(f"exporter:{name}", Status.FAIL, message)
        elif name not in ("otlp", "file"):
            yield Check(f"exporter:{name}", Status.PASS, "available")
    for signal, variable in EXPORTER_VARIABLES.items():
        for name, error in asked_exporters(signal).missing.items():
            message = f"{why_missing(signal, name, error)}; check {variable}"
            yield Check(f"exporters:{signal}", Status.FAIL, message)


def misspelt_checks(env: Mapping[str, str]) -> Iterator[Check]:
    """Check the names of the variables that are set.

    Args:
        env: The environment variables.
    """
    known = _known()
    for name in sorted(env):
        meant = _meant(name, known)
        if meant:
            message = f"nothing reads {name}; did you mean {meant}?"
            yield Check(f"variable:{name}", Status.WARN, message)


def _meant(name: str, known: frozenset[str]) -> str:
    """Return the known name that a name resembles, or ""."""
    upper = name.upper()
    if name in known or len(name) < _SHORTEST or "__" in name:
        return ""
    if upper in known:
        return upper
    close = get_close_matches(upper, sorted(known), n=1, cutoff=_VERY_SIMILAR)
    if close or not upper.startswith(_PREFIXES):
        return close[0] if close else ""
    longer = [one for one in known if one.startswith(upper)]
    if len(longer) == 1:
        return longer[0]
    # Collectors and operators add to known names, as in OTEL_RESOURCE_ATTRIBUTES_POD_NAME.
    if upper.startswith(_OF_INSTRUMENTATIONS) or any(upper.startswith(f"{one}_") for one in known):
        return ""
    similar = get_close_matches(upper, sorted(known), n=1, cutoff=_SIMILAR)
    return similar[0] if similar else ""


def _known() -> frozenset[str]:
    """Return the names that installed packages declare."""
    declared = {
        value
        for point in entry_points(group="opentelemetry_environment_variables")
        for name, value in vars(point.load()).items()
        if name.isupper() and isinstance(value, str) and value.startswith("OTEL_")
    }
    return frozenset({*declared, *variables.names(), *_OF_SENTRY, *_OF_OPENTELEMETRY})
