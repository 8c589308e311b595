"""Settings: the policy, the service, the variables, the exporters that they name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

from mita_otel import _otel_compat, semconv
from mita_otel import environment_variables as variables
from mita_otel.exporters.registry import exporter_names, why_missing
from mita_otel.policy import Policy
from mita_otel.policy.loading import DEFAULT_ENVIRONMENT, LoadedPolicy
from mita_otel.sdk.composition import switched_off
from mita_otel.sdk.exporter_factory import ExporterFactory
from mita_otel.sdk.health.check import Check, Status
from mita_otel.sdk.metrics_and_logs import EXPORTER_VARIABLES
from mita_otel.sdk.service import describe_service


def switch_check(env: Mapping[str, str]) -> Check:
    """Look whether telemetry is switched off altogether."""
    if switched_off(env):
        return Check("switch", Status.FAIL, f"{variables.SDK_DISABLED} is true: telemetry is off; unset it")
    return Check("switch", Status.PASS, "telemetry is on")


def policy_check(loaded: LoadedPolicy, problems: tuple[str, ...], env: Mapping[str, str]) -> Check:
    """Look whether all of the policy can be used, and say for which environment."""
    if problems:
        return Check("policy", Status.FAIL, "; ".join(problems))
    origin = str(loaded.file) if loaded.file else "the defaults, no policy file"
    named = any(env.get(one, "").strip() for one in (variables.SENTRY_ENVIRONMENT, variables.ENVIRONMENT))
    named = named or any(
        name in env.get(variables.RESOURCE_ATTRIBUTES, "") for name in semconv.DEPLOYMENT_ENVIRONMENT
    )
    why = (
        ""
        if named or loaded.environment != DEFAULT_ENVIRONMENT
        else f" ({variables.SENTRY_ENVIRONMENT} names no other)"
    )
    return Check("policy", Status.PASS, f"{origin}, environment {loaded.environment}{why}")


def service_check(environment: str, env: Mapping[str, str]) -> Check:
    """Look whether the service has a name."""
    name = str(describe_service(environment, None, env).attributes.get(semconv.SERVICE_NAME, ""))
    if not name or name.startswith("unknown_service"):
        said = f"the service has no name, it is shown as {name or 'unknown_service'}: set {variables.SERVICE_NAME}"
        return Check("service", Status.WARN, said)
    return Check("service", Status.PASS, name)


def config_file_check(env: Mapping[str, str]) -> Iterator[Check]:
    """Look whether OpenTelemetry's own configuration file, if one is named, can be read."""
    path = env.get(variables.CONFIG_FILE, "")
    if not path:
        return
    if not Path(path).is_file():
        said = f"{variables.CONFIG_FILE}={path}: there is no such file; name one that exists, or unset it"
        yield Check("config-file", Status.FAIL, said)
    elif find_spec("opentelemetry.configuration") is None:
        said = f"{variables.CONFIG_FILE} is set, and nothing reads the file: pip install opentelemetry-configuration"
        yield Check("config-file", Status.FAIL, said)
    else:
        yield Check("config-file", Status.PASS, path)


def distro_checks(env: Mapping[str, str]) -> Iterator[Check]:
    """Look whether `opentelemetry-instrument` would start this distribution."""
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
                "mita_otel is not installed as one; pip install --force-reinstall mita-otel",
            )
        elif wanted and wanted not in known:
            said = f"{variable}={wanted}: nothing of that name is installed; set it to mita_otel"
            yield Check(name, Status.FAIL, said)
        elif wanted and wanted != "mita_otel":
            said = (
                f"{variable}={wanted} chooses another one, and mita-otel does not start; set it to mita_otel"
            )
            yield Check(name, Status.FAIL, said)
        elif others and not wanted:
            said = f"{', '.join(others)} is installed as well: set {variable}=mita_otel, or either may start"
            yield Check(name, Status.FAIL, said)
        else:
            yield Check(name, Status.PASS, "mita_otel")


def sampler_check(env: Mapping[str, str]) -> Check:
    """Look whether a sampler of OpenTelemetry's decides in the policy's place."""
    sampler = env.get(variables.TRACES_SAMPLER, "").strip()
    if sampler.endswith("always_off"):
        said = f"{variables.TRACES_SAMPLER}={sampler}: no trace is kept; unset it"
        return Check("sampling", Status.FAIL, said)
    if sampler:
        said = f"{variables.TRACES_SAMPLER}={sampler} decides, not sampling.mode: slow traces may be lost; unset it"
        return Check("sampling", Status.WARN, said)
    return Check("sampling", Status.PASS, "as the policy's sampling says")


def wanted_exporters(policy: Policy, env: Mapping[str, str]) -> list[str]:
    """Return the names of the span exporters, each once."""
    named = env.get(variables.TRACES_EXPORTER, "").strip()
    wanted = [one.strip() for one in named.split(",")] if named else policy.export.traces
    return [name for name in dict.fromkeys(wanted) if name and name != "none"]


def exporter_checks(policy: Policy, env: Mapping[str, str]) -> Iterator[Check]:
    """Look whether the exporters that are named can be had. What `otlp` needs is looked at by itself."""
    known = exporter_names(ExporterFactory.MAKERS)
    wanted = wanted_exporters(policy, env)
    if not wanted:
        said = (
            f"no exporter is named, traces go nowhere; name one in {variables.TRACES_EXPORTER}, or unset it"
        )
        yield Check("exporters", Status.WARN, said)
    for name in wanted:
        if name not in known:
            said = f"no exporter is called {name!r}; known: {', '.join(known)}"
            yield Check(f"exporter:{name}", Status.FAIL, said)
        elif name != "otlp":
            yield Check(f"exporter:{name}", Status.PASS, "it is there")
    for signal, variable in EXPORTER_VARIABLES.items():
        for name, error in _otel_compat.asked_exporters(signal).missing.items():
            said = f"{why_missing(signal, name, error)}; check {variable}"
            yield Check(f"exporters:{signal}", Status.FAIL, said)
