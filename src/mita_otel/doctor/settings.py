"""Settings: the policy, the variables, the exporters that they name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from typing import Final

from mita_otel import environment_variables as variables
from mita_otel.composition import switched_off
from mita_otel.exporters.otlp import make_otlp_exporter
from mita_otel.exporters.registry import ExporterUnavailableError, exporter_names
from mita_otel.health.check import Check, Status
from mita_otel.policy import Policy
from mita_otel.policy.loading import LoadedPolicy

_OURS: Final = ("console", "file", "memory", "otlp", "sentry", "store")


def switch_check(env: Mapping[str, str]) -> Check:
    """Look whether telemetry is switched off altogether."""
    if switched_off(env):
        return Check("switch", Status.FAIL, f"{variables.SDK_DISABLED} is true: telemetry is off; unset it")
    return Check("switch", Status.PASS, "telemetry is on")


def policy_check(loaded: LoadedPolicy, problems: tuple[str, ...]) -> Check:
    """Look whether all of the policy can be used."""
    if problems:
        return Check("policy", Status.FAIL, "; ".join(problems))
    origin = str(loaded.file) if loaded.file else "the defaults, no policy file"
    return Check("policy", Status.PASS, f"{origin}, environment {loaded.environment}")


def distro_checks(env: Mapping[str, str]) -> Iterator[Check]:
    """Look whether `opentelemetry-instrument` would start this distribution."""
    for variable, group in (
        (variables.DISTRO, "opentelemetry_distro"),
        (variables.CONFIGURATOR, "opentelemetry_configurator"),
    ):
        name = "distro" if variable == variables.DISTRO else "configurator"
        known = sorted({point.name for point in entry_points(group=group)})
        wanted = env.get(variable, "").strip()
        others = [one for one in known if one != "mita_otel"]
        if wanted and wanted not in known:
            said = f"{variable}={wanted}: nothing of that name is installed; set it to mita_otel"
            yield Check(name, Status.FAIL, said)
        elif wanted and wanted != "mita_otel":
            said = f"{variable}={wanted} chooses another one; set it to mita_otel"
            yield Check(name, Status.WARN, said)
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
    return Check("sampling", Status.PASS)


def exporter_checks(policy: Policy, env: Mapping[str, str]) -> Iterator[Check]:
    """Look whether the exporters that are named can be had."""
    named = env.get(variables.TRACES_EXPORTER, "").strip()
    wanted = [one.strip() for one in named.split(",")] if named else list(policy.export.traces)
    known = sorted({*_OURS, *exporter_names({})})
    for name in dict.fromkeys(one for one in wanted if one and one != "none"):
        if name not in known:
            said = f"no exporter is called {name!r}; known: {', '.join(known)}"
            yield Check(f"exporter:{name}", Status.FAIL, said)
            continue
        if name == "otlp":
            try:
                make_otlp_exporter(env).shutdown()
            except ExporterUnavailableError as error:
                yield Check("exporter:otlp", Status.FAIL, str(error))
                continue
        yield Check(f"exporter:{name}", Status.PASS)
