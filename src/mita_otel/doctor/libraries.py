"""Checks of libraries: compatible versions, and instrumentation of the installed ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import Distribution, EntryPoint, distributions, entry_points
from typing import Final

from opentelemetry.instrumentation.dependencies import get_dist_dependency_conflicts
from packaging.requirements import Requirement

from mita_otel import environment_variables as variables
from mita_otel.instrumentation.fastapi import fastapi_source, has_native_telemetry
from mita_otel.instrumentation.sqlalchemy_contrib import INSTALL, missing_package
from mita_otel.policy import Policy
from mita_otel.sdk.distro import measured_here
from mita_otel.sdk.health.check import Check, Status
from mita_otel.sdk.health.libraries import WELL_KNOWN, installed_version, there_for_telemetry

_GROUP: Final = "opentelemetry_instrumentor"
_ALL: Final = "*"
_OURS = "mita-otel"


def library_checks() -> Iterator[Check]:
    """Check that the installed versions of mita-otel and OpenTelemetry are compatible."""
    found = list(_conflicts())
    yield from found
    if not found:
        message = f"{_OURS} {installed_version(_OURS)}, opentelemetry-sdk {installed_version('opentelemetry-sdk')}, sentry-sdk {installed_version('sentry-sdk')}"
        yield Check("versions", Status.PASS, message)


def _conflicts() -> Iterator[Check]:
    for one in _packages():
        for text in one.requires or ():
            required = Requirement(text)
            # A requirement of an extra may be missing. If it is installed, its version must match.
            optional = required.marker is not None and "extra" in str(required.marker)
            if optional and one.name != _OURS:
                continue
            if not optional and required.marker is not None and not required.marker.evaluate():
                continue
            installed = installed_version(required.name)
            if (not installed and not optional) or (
                installed and not required.specifier.contains(installed, prereleases=True)
            ):
                wanted = f"{required.name}{required.specifier}"
                found = f"{installed} is installed" if installed else "it is not installed"
                message = f"{one.name} {one.version} needs {wanted}, but {found}: pip install '{wanted}'"
                yield Check(f"versions:{required.name}", Status.FAIL, message)


def _packages() -> Iterator[Distribution]:
    """Yield mita-otel and OpenTelemetry's packages. Of several versions, Python uses the first."""
    seen = set[str]()
    for one in distributions():
        name = (one.name or "").lower().replace("_", "-")
        if name not in seen and (name == _OURS or name.startswith("opentelemetry-")):
            seen.add(name)
            yield one


# --- instrumentations --------------------------------------------------------------------------------
def instrumentation_checks(policy: Policy, env: Mapping[str, str]) -> Iterator[Check]:
    """Check which installed libraries are instrumented.

    Args:
        policy: The instrumentation settings.
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
        message = f"{installed} is installed but cannot be imported ({type(error).__name__}): pip install --force-reinstall fastapi"
        yield Check("library:fastapi", Status.FAIL, message)
        return
    source = fastapi_source(policy.instrumentation, has_native_telemetry(FastAPI))
    fix = _disabled_fix("fastapi", "fastapi", off, by_policy=source == "off", value='"auto"')
    if fix:
        yield Check("library:fastapi", Status.WARN, f"{installed} is installed, not instrumented: {fix}")
        return
    whose = "FastAPI's own telemetry" if source == "native" else "the contrib instrumentation"
    yield Check("library:fastapi", Status.PASS, f"{installed} is installed and instrumented by {whose}")


def _sqlalchemy(policy: Policy, off: frozenset[str]) -> Iterator[Check]:
    installed, name = installed_version("sqlalchemy"), "library:sqlalchemy"
    if not installed:
        return
    source = policy.instrumentation.sqlalchemy_source()
    fix = _disabled_fix("sqlalchemy", "sqlalchemy", off, by_policy=source == "off", value='"auto"')
    if fix:
        yield Check(name, Status.WARN, f"{installed} is installed, not instrumented: {fix}")
    elif source == "native":
        yield Check(name, Status.PASS, f"{installed} is installed and instrumented by mita-otel")
    elif (problem := missing_package()) is not None:
        message = f"{installed} is installed and instrumented by mita-otel, not by the contrib package ({problem}): {INSTALL}"
        yield Check(name, Status.WARN, message)
    else:
        yield Check(name, Status.PASS, f"{installed} is installed and instrumented by the contrib package")


def _threads(policy: Policy, off: frozenset[str]) -> Check:
    by_policy = not policy.instrumentation.threads
    fix = _disabled_fix("threading", "threads", off, by_policy=by_policy, value="true")
    if fix:
        message = f"context is not propagated to threads and pools: {fix}"
        return Check("library:threads", Status.WARN, message)
    return Check("library:threads", Status.PASS, "context is propagated to threads and pools")


def _disabled_fix(name: str, setting: str, off: frozenset[str], *, by_policy: bool, value: str) -> str:
    """Return the fix for a disabled instrumentation, or "" if it is enabled."""
    if off & {name, _ALL}:
        return _named(name, off)
    return f"the policy disables it; set instrumentation.{setting} to {value}" if by_policy else ""


def _named(name: str, off: frozenset[str]) -> str:
    return f"remove {name if name in off else _ALL} from {variables.DISABLED_INSTRUMENTATIONS}"


def _others(off: frozenset[str]) -> Iterator[Check]:
    """Check the libraries that OpenTelemetry's packages instrument."""
    ours = measured_here()
    packages = {point.name: point for point in entry_points(group=_GROUP) if point.name not in ours}
    # A package for several libraries is reported once, for the well-known one.
    reported = {
        point.dist.name for name in WELL_KNOWN.values() if (point := packages.get(name)) and point.dist
    }
    not_needed = there_for_telemetry(WELL_KNOWN)
    for library, name in WELL_KNOWN.items():
        point, installed = packages.pop(name, None), installed_version(library)
        if installed and point is None and library in not_needed:
            continue
        if installed and point is None:
            package = f"opentelemetry-instrumentation-{name.replace('_', '-')}"
            message = f"{installed} is installed, not instrumented: pip install {package}"
            yield Check(f"library:{library}", Status.WARN, message)
        elif installed and point is not None:
            yield _by_package(library, installed, point, off)
    for name, point in packages.items():
        if point.dist is not None and point.dist.name not in reported and not _lacks_its_library(point.dist):
            yield _by_package(name, "", point, off)


def _by_package(library: str, installed: str, point: EntryPoint, off: frozenset[str]) -> Check:
    """Check that a package can instrument its library, like OpenTelemetry's launcher does."""
    name, state = f"library:{library}", f"{installed} is installed" if installed else "it is installed"
    by = f"{point.dist.name} {point.dist.version}" if point.dist is not None else point.name
    if off & {point.name, _ALL}:
        return Check(name, Status.WARN, f"{state}, not instrumented: {_named(point.name, off)}")
    conflict = get_dist_dependency_conflicts(point.dist) if point.dist is not None else None
    if conflict is not None:
        wanted = " or ".join(str(one) for one in _without_extras(conflict.required, conflict.required_any))
        found = conflict.found or ", ".join(conflict.found_any or ()) or "no such package"
        message = f"{state}, not instrumented: {by} needs {wanted}, but {found} is installed; pip install '{wanted}'"
        return Check(name, Status.FAIL, message)
    try:
        point.load()
    except Exception as error:  # noqa: BLE001 - a broken package may raise anything
        message = f"{state}, not instrumented: {by} cannot be imported ({type(error).__name__}); pip install --force-reinstall {by.partition(' ')[0]}"
        return Check(name, Status.FAIL, message)
    return Check(name, Status.PASS, f"{state} and instrumented under opentelemetry-instrument by {by}")


def _without_extras(required: object, required_any: object) -> list[str]:
    """Return the requirements without their markers."""
    texts = [required] if required else list(required_any or ())  # type: ignore[call-overload]
    return [str(one).partition(";")[0].strip() for one in texts]


def _lacks_its_library(package: Distribution) -> bool:
    """Return whether the library of a package is not installed. That is not an error."""
    conflict = get_dist_dependency_conflicts(package)
    return conflict is not None and not conflict.found and not conflict.found_any
