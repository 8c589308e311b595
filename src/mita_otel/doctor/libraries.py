"""Libraries: which are measured, and which of their versions do not go together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version

from mita_otel.health.check import Check, Status
from mita_otel.health.instruments import libraries


def library_checks(version_of: Callable[[str], str] = version) -> Iterator[Check]:
    """Look at what is installed.

    Args:
        version_of: Returns the version of a distribution, or raises `PackageNotFoundError`.
    """
    yield from _sqlalchemy(version_of)
    api, sdk = _found(version_of, "opentelemetry-api"), _found(version_of, "opentelemetry-sdk")
    if api != sdk:
        said = f"opentelemetry-api is {api}, opentelemetry-sdk is {sdk}: pip install opentelemetry-api=={sdk}"
        yield Check("opentelemetry", Status.FAIL, said)
    for one in libraries():
        if one.state == "missing":
            yield Check(f"library:{one.name}", Status.WARN, f"it is not measured: {one.mend}")
        else:
            yield Check(f"library:{one.name}", Status.PASS, f"{one.version} is measured")


def _sqlalchemy(version_of: Callable[[str], str]) -> Iterator[Check]:
    """The contrib instrumentation declares `sqlalchemy < 2.1`: with a later one it measures nothing."""
    ours, contrib = (
        _found(version_of, "sqlalchemy"),
        _found(version_of, "opentelemetry-instrumentation-sqlalchemy"),
    )
    if contrib and tuple(ours.split(".")[:2]) >= ("2", "1"):
        said = (
            f"opentelemetry-instrumentation-sqlalchemy {contrib} does not measure sqlalchemy {ours}; mita-otel does, "
            "without it: pip uninstall opentelemetry-instrumentation-sqlalchemy"
        )
        yield Check("sqlalchemy", Status.WARN, said)


def _found(version_of: Callable[[str], str], name: str) -> str:
    try:
        return version_of(name)
    except PackageNotFoundError:
        return ""
