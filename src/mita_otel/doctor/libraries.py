"""Versions that do not go together: what mita-otel and each package of OpenTelemetry's declare, held to what is installed."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import Distribution, distributions

from packaging.requirements import Requirement

from mita_otel.sdk.health.check import Check, Status
from mita_otel.sdk.health.libraries import installed_version

_OURS = "mita-otel"
_CONTRIB_SQLALCHEMY = "opentelemetry-instrumentation-sqlalchemy"


def library_checks() -> Iterator[Check]:
    """Look whether the versions that are installed go together."""
    found = list(_conflicts())
    yield from found
    yield from _contrib_sqlalchemy()
    if not found:
        said = f"{_OURS} {installed_version(_OURS)}, opentelemetry-sdk {installed_version('opentelemetry-sdk')}, sentry-sdk {installed_version('sentry-sdk')}"
        yield Check("versions", Status.PASS, said)


def _conflicts() -> Iterator[Check]:
    for one in _packages():
        for text in one.requires or ():
            required = Requirement(text)
            # An extra that was not installed asks for nothing; what is there of one has to fit all the same.
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
                there = f"{installed} is installed" if installed else "it is not installed"
                said = f"{one.name} {one.version} needs {wanted}, and {there}: pip install '{wanted}'"
                yield Check(f"versions:{required.name}", Status.FAIL, said)


def _packages() -> Iterator[Distribution]:
    """Yield mita-otel and OpenTelemetry's packages, of each the one that Python finds first."""
    seen = set[str]()
    for one in distributions():
        name = (one.name or "").lower().replace("_", "-")
        if name not in seen and (name == _OURS or name.startswith("opentelemetry-")):
            seen.add(name)
            yield one


def _contrib_sqlalchemy() -> Iterator[Check]:
    """The contrib instrumentation declares which SQLAlchemy it measures: with another it measures nothing, and says so."""
    from opentelemetry.instrumentation.dependencies import get_dist_dependency_conflicts

    package = next(iter(distributions(name=_CONTRIB_SQLALCHEMY)), None)
    conflict = get_dist_dependency_conflicts(package) if package is not None else None
    if package is not None and conflict is not None and conflict.found:
        said = (
            f"{package.name} {package.version} does not measure {conflict.found}; mita-otel does, without it: "
            f"pip uninstall {package.name}"
        )
        yield Check("sqlalchemy", Status.WARN, said)
