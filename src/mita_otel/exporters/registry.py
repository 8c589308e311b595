"""Finds exporters by name: ours in a table from the composition root, others by entry point."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib.metadata import entry_points

from opentelemetry.sdk.trace.export import SpanExporter

from mita_otel.errors import raise_interrupt

GROUP = "opentelemetry_traces_exporter"
"""The entry-point group of span exporters, as the OpenTelemetry SDK names it."""
_PACKAGES = {
    "otlp_proto_http": ("otlp", "mita-otel[otlp]"),
    "otlp_proto_grpc": ("otlp", "mita-otel[otlp-grpc]"),
    "prometheus": ("prometheus", "mita-otel[prometheus]"),
}
"""For each entry point: the exporter's name and the package to install."""

ExporterConstructor = Callable[[], SpanExporter]


class ExporterUnavailableError(Exception):
    """A requested exporter is not available. The message names the reason and the fix.

    Args:
        message: The reason and the fix.
        expected: Whether this is a usual way to run the service, so that nothing counts as lost.
    """

    def __init__(self, message: str, *, expected: bool = False) -> None:
        super().__init__(message)
        self.expected = expected


@dataclass(frozen=True)
class ResolvedExporters:
    """The requested exporters, and the problems with those that are not available."""

    exporters: list[tuple[str, SpanExporter]] = field(default_factory=list)
    """Name and exporter, in the requested order."""
    problems: list[str] = field(default_factory=list)
    """One sentence for each exporter that is not available, with the fix."""
    unavailable: dict[str, str] = field(default_factory=dict)
    """The sentence by name, for the exporters whose data counts as lost."""


def exporter_names(ours: Iterable[str]) -> list[str]:
    """Return the names of all exporters.

    Args:
        ours: The names of our exporters.
    """
    return sorted({*ours, *(point.name for point in entry_points(group=GROUP)), "none"})


def why_missing(signal: str, name: str, error: Exception) -> str:
    """Return why an exporter of metrics or logs is not available, and the fix.

    Args:
        signal: `metrics` or `logs`.
        name: The name of its entry point.
        error: The error of the SDK.
    """
    there = {point.name for point in entry_points(group=f"opentelemetry_{signal}_exporter")}
    if name in there:
        return f"exporter {name!r} cannot be loaded ({type(error).__name__}: {error})"
    if name in _PACKAGES:
        return not_installed(name)
    return _unknown(name, sorted({"none", *(_PACKAGES.get(one, (one,))[0] for one in there)}))


def not_installed(point: str) -> str:
    """Return a message that names the package to install for an OpenTelemetry exporter.

    Args:
        point: The name of its entry point.
    """
    name, package = _PACKAGES[point]
    return f"the {name} exporter is not installed; install {package}"


def find_exporters(wanted: Iterable[object], ours: Mapping[str, ExporterConstructor]) -> ResolvedExporters:
    """Create the requested exporters.

    Args:
        wanted: Names and instances. `none` is ignored, and so is a repeated name.
        ours: Our exporters by name. They take precedence over an entry point of the same name, because the SDK also has
            a `console`.
    """
    resolved = ResolvedExporters()
    seen: set[str] = set()
    for item in wanted:
        if isinstance(item, SpanExporter):
            resolved.exporters.append((type(item).__name__, item))
            continue
        if not isinstance(item, str):
            resolved.problems.append(_no_exporter(item))
            continue
        name = item.strip()
        if name in seen or name in {"", "none"}:
            continue
        seen.add(name)
        try:
            resolved.exporters.append((name, _make(name, ours)))
        except ExporterUnavailableError as problem:
            resolved.problems.append(str(problem))
            if not problem.expected:
                resolved.unavailable[name] = str(problem)
        except BaseException as error:  # noqa: BLE001 - a third party's constructor may do anything
            raise_interrupt(error)
            resolved.problems.append(
                f"exporter {name!r} could not be created ({type(error).__name__}: {error}); "
                "check its settings in its documentation"
            )
            resolved.unavailable[name] = resolved.problems[-1]
    return resolved


def _make(name: str, ours: Mapping[str, ExporterConstructor]) -> SpanExporter:
    construct = ours.get(name)
    if construct is not None:
        return construct()
    for point in entry_points(group=GROUP, name=name):
        exporter = point.load()()
        if not isinstance(exporter, SpanExporter):
            raise ExporterUnavailableError(
                f"exporter {name!r} ({point.value}) is not an OpenTelemetry SpanExporter"
            )
        return exporter
    raise ExporterUnavailableError(_unknown(name, exporter_names(ours)))


def _unknown(name: str, known: list[str]) -> str:
    close = get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"no exporter is called {name!r}; {hint}known: {', '.join(known)}"


def _no_exporter(item: object) -> str:
    kind = f"the class {item.__qualname__}" if isinstance(item, type) else type(item).__qualname__
    return f"{kind} is not an exporter; pass names, or instances of OpenTelemetry's SpanExporter"
