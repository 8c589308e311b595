"""Libraries: which are installed, and which of them are measured in a service that starts in this environment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import Distribution, EntryPoint, entry_points
from typing import Final

from opentelemetry.instrumentation.dependencies import get_dist_dependency_conflicts

from mita_otel import environment_variables as variables
from mita_otel.instrumentation.fastapi import fastapi_source, has_native_telemetry
from mita_otel.policy import Policy
from mita_otel.sdk.distro import measured_here
from mita_otel.sdk.health.check import Check, Status
from mita_otel.sdk.health.libraries import WELL_KNOWN, installed_version, there_for_telemetry

_GROUP: Final = "opentelemetry_instrumentor"
_ALL: Final = "*"


def instrumentation_checks(policy: Policy, env: Mapping[str, str]) -> Iterator[Check]:
    """Look which libraries are installed, and whether each is measured.

    Args:
        policy: What is to be measured.
        env: The environment variables.
    """
    off = variables.disabled_instrumentations(env)
    yield from _fastapi(policy, off)
    yield from _sqlalchemy(policy, off)
    yield _threads(policy, off)
    yield from _others(off)


def _fastapi(policy: Policy, off: frozenset[str]) -> Iterator[Check]:
    installed = installed_version("fastapi")
    if not installed:
        return
    try:
        from fastapi import FastAPI
    except Exception as error:  # noqa: BLE001 - a broken package may raise anything
        said = f"{installed} is installed, and cannot be imported ({type(error).__name__}): pip install --force-reinstall fastapi"
        yield Check("library:fastapi", Status.FAIL, said)
        return
    source = fastapi_source(policy.instrumentation, has_native_telemetry(FastAPI))
    mend = _switched_off("fastapi", "fastapi", off, by_policy=source == "off", value='"auto"')
    if mend:
        yield Check("library:fastapi", Status.WARN, f"{installed} is installed, not active: {mend}")
        return
    whose = "FastAPI's own telemetry" if source == "native" else "the contrib instrumentation"
    yield Check("library:fastapi", Status.PASS, f"{installed} is installed and active, by {whose}")


def _sqlalchemy(policy: Policy, off: frozenset[str]) -> Iterator[Check]:
    installed = installed_version("sqlalchemy")
    if not installed:
        return
    by_policy = not policy.instrumentation.sqlalchemy
    mend = _switched_off("sqlalchemy", "sqlalchemy", off, by_policy=by_policy, value="true")
    if mend:
        yield Check("library:sqlalchemy", Status.WARN, f"{installed} is installed, not active: {mend}")
    else:
        yield Check(
            "library:sqlalchemy", Status.PASS, f"{installed} is installed and active, by mita-otel itself"
        )


def _threads(policy: Policy, off: frozenset[str]) -> Check:
    by_policy = not policy.instrumentation.threads
    mend = _switched_off("threading", "threads", off, by_policy=by_policy, value="true")
    if mend:
        said = f"not active, what a thread or a pool does is in no trace: {mend}"
        return Check("library:threads", Status.WARN, said)
    return Check("library:threads", Status.PASS, "active: threads and pools see the context they come from")


def _switched_off(name: str, setting: str, off: frozenset[str], *, by_policy: bool, value: str) -> str:
    """Return what to do about what is switched off; empty: it is not."""
    if off & {name, _ALL}:
        return _named(name, off)
    return f"the policy has instrumentation.{setting} off; set it to {value}" if by_policy else ""


def _named(name: str, off: frozenset[str]) -> str:
    return f"take {name if name in off else _ALL} out of {variables.DISABLED_INSTRUMENTATIONS}"


def _others(off: frozenset[str]) -> Iterator[Check]:
    """What OpenTelemetry's packages measure: those that are installed, and those that could be."""
    ours = measured_here()
    packages = {point.name: point for point in entry_points(group=_GROUP) if point.name not in ours}
    # A package that measures several libraries is told of once, by the one that is well known.
    told = {point.dist.name for name in WELL_KNOWN.values() if (point := packages.get(name)) and point.dist}
    not_missed = there_for_telemetry(WELL_KNOWN)
    for library, name in WELL_KNOWN.items():
        point, installed = packages.pop(name, None), installed_version(library)
        if installed and point is None and library in not_missed:
            continue
        if installed and point is None:
            package = f"opentelemetry-instrumentation-{name.replace('_', '-')}"
            said = f"{installed} is installed, not active: pip install {package}"
            yield Check(f"library:{library}", Status.WARN, said)
        elif installed and point is not None:
            yield _by_package(library, installed, point, off)
    for name, point in packages.items():
        if point.dist is not None and point.dist.name not in told and not _lacks_its_library(point.dist):
            yield _by_package(name, "", point, off)


def _by_package(library: str, installed: str, point: EntryPoint, off: frozenset[str]) -> Check:
    """Look whether a package would measure its library, as OpenTelemetry's launcher does."""
    name, there = f"library:{library}", f"{installed} is installed" if installed else "it is installed"
    by = f"{point.dist.name} {point.dist.version}" if point.dist is not None else point.name
    if off & {point.name, _ALL}:
        return Check(name, Status.WARN, f"{there}, not active: {_named(point.name, off)}")
    conflict = get_dist_dependency_conflicts(point.dist) if point.dist is not None else None
    if conflict is not None:
        wanted = " or ".join(str(one) for one in _plain(conflict.required, conflict.required_any))
        found = conflict.found or ", ".join(conflict.found_any or ()) or "nothing of the kind"
        said = f"{there}, not active: {by} measures {wanted}, and {found} is there; pip install '{wanted}'"
        return Check(name, Status.FAIL, said)
    try:
        point.load()
    except Exception as error:  # noqa: BLE001 - a broken package may raise anything
        said = f"{there}, not active: {by} cannot be imported ({type(error).__name__}); pip install --force-reinstall {by.partition(' ')[0]}"
        return Check(name, Status.FAIL, said)
    return Check(name, Status.PASS, f"{there} and active under opentelemetry-instrument, by {by}")


def _plain(required: object, required_any: object) -> list[str]:
    """Return requirements without the extra that they stand under."""
    texts = [required] if required else list(required_any or ())  # type: ignore[call-overload]
    return [str(one).partition(";")[0].strip() for one in texts]


def _lacks_its_library(package: Distribution) -> bool:
    """Return whether a package came without the library that it measures, which is no fault."""
    conflict = get_dist_dependency_conflicts(package)
    return conflict is not None and not conflict.found and not conflict.found_any
