"""Checks of libraries: compatible versions, and instrumentation of the installed ones."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from importlib.metadata import Distribution, EntryPoint, entry_points
from typing import Final

from opentelemetry.instrumentation.dependencies import get_dist_dependency_conflicts

from mita_otel import environment_variables as variables
from mita_otel.doctor.requirements import OURS, cause_of, conflicts, described, fix, installed_packages
from mita_otel.instrumentation.fastapi import fastapi_source, has_native_telemetry
from mita_otel.instrumentation.sqlalchemy_contrib import INSTALL, missing_package
from mita_otel.policy import Policy
from mita_otel.sdk.distro import measured_here
from mita_otel.sdk.health.check import Check, Status
from mita_otel.sdk.health.libraries import OURS as INSTRUMENTED
from mita_otel.sdk.health.libraries import WELL_KNOWN, installed_version, there_for_telemetry

_GROUP: Final = "opentelemetry_instrumentor"
_ALL: Final = "*"
_DRIVERS: Final = frozenset(
    {"aiopg", "asyncpg", "mysql", "mysqlclient", "psycopg", "psycopg2", "pymssql", "pymysql", "sqlite3"}
)
"""Names of the packages that measure the statements of a driver."""
_CHANNELS: Final = [name for name in variables.names() if name.startswith(("SLACK_", "PAGERDUTY_"))]


def library_checks(extras: Collection[str] = ()) -> Iterator[Check]:
    """Check that the installed versions of mita-otel, OpenTelemetry and the instrumented libraries go together.

    Args:
        extras: Extras of mita-otel that are in use. The others are no requirements.
    """
    packages = installed_packages()
    telemetry = [OURS, "sentry-sdk", *(name for name in packages if name.startswith("opentelemetry-"))]
    found = conflicts(packages, [*telemetry, *INSTRUMENTED, *WELL_KNOWN], extras)
    command = fix(found, packages) if found else ""
    for name in dict.fromkeys(one.required for one in found):
        of_one = [one for one in found if one.required == name]
        # A library may still work with another version; the check of the library imports it.
        status = Status.FAIL if any(one.is_of_telemetry for one in of_one) else Status.WARN
        yield Check(f"versions:{name}", status, f"{described(of_one)}: {command}")
    if not found:
        message = f"{OURS} {installed_version(OURS)}, opentelemetry-sdk {installed_version('opentelemetry-sdk')}, sentry-sdk {installed_version('sentry-sdk')}"
        yield Check("versions", Status.PASS, message)


def extras_in_use(policy: Policy, exporters: Collection[str], env: Mapping[str, str]) -> list[str]:
    """Return the extras whose features the policy and the variables use.

    Args:
        policy: The policy.
        exporters: Names of the span exporters.
        env: The environment variables.
    """
    named = [*exporters, *(env.get(one, "") for one in (variables.METRICS_EXPORTER, variables.LOGS_EXPORTER))]
    text, url = ",".join(named), env.get(variables.DATABASE_URL, "").strip()
    wanted = {
        "store": bool(url) or "store" in exporters or policy.audit.start == "configure",
        "postgresql": url.startswith("postgres"),
        "otlp": "otlp" in text and env.get(variables.OTLP_PROTOCOL, "").strip() != "grpc",
        "otlp-grpc": "otlp" in text and env.get(variables.OTLP_PROTOCOL, "").strip() == "grpc",
        "prometheus": "prometheus" in text,
        "alerts": any(env.get(one, "").strip() for one in _CHANNELS),
        "mobile": bool(policy.mobile.projects),
        "contrib": policy.instrumentation.sqlalchemy_source() == "contrib",
    }
    return [extra for extra, in_use in wanted.items() if in_use]


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
        cause = cause_of(error, installed_packages()) or "pip install --force-reinstall fastapi"
        message = (
            f"{installed} is installed but cannot be imported ({type(error).__name__}: {error}); {cause}"
        )
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
        message = f"{installed} is installed and instrumented by mita-otel{_by_drivers_too(off)}"
        yield Check(name, Status.PASS, message)
    elif (problem := missing_package()) is not None:
        message = f"{installed} is installed and instrumented by mita-otel, not by the contrib package ({problem}): {INSTALL}"
        yield Check(name, Status.WARN, message)
    else:
        message = f"{installed} is installed and instrumented by the contrib package{_by_drivers_too(off)}"
        yield Check(name, Status.PASS, message)


def _by_drivers_too(off: frozenset[str]) -> str:
    """Return a note about packages that measure the same statements in the driver; "" if there are none."""
    both = sorted(
        point.name
        for point in entry_points(group=_GROUP)
        if point.name in _DRIVERS
        and not off & {point.name, _ALL}
        and point.dist is not None
        and not _lacks_its_library(point.dist)
    )
    if not both:
        return ""
    return (
        f". Under opentelemetry-instrument its statements through {' or '.join(both)} have two spans, and are counted once. "
        f"For one span set {variables.DISABLED_INSTRUMENTATIONS}={','.join(both)}"
    )


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
        cause = (
            cause_of(error, installed_packages()) or f"pip install --force-reinstall {by.partition(' ')[0]}"
        )
        message = (
            f"{state}, not instrumented: {by} cannot be imported ({type(error).__name__}: {error}); {cause}"
        )
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
