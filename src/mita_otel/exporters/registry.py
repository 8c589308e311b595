"""Exporters by name: ours from a table that the composition root fills, everybody's by entry point."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib.metadata import entry_points

from opentelemetry.sdk.trace.export import SpanExporter

GROUP = "opentelemetry_traces_exporter"
"""The entry-point group of span exporters, as the OpenTelemetry SDK names it."""
_PACKAGES = {
    "otlp_proto_http": ("otlp", "mita-otel[otlp]"),
    "otlp_proto_grpc": ("otlp", "mita-otel[otlp-grpc]"),
    "prometheus": ("prometheus", "mita-otel[prometheus]"),
}
"""What to install for an entry point, and the name that it is asked for by."""

ExporterConstructor = Callable[[], SpanExporter]


class ExporterUnavailableError(Exception):
    """An exporter that was asked for cannot be had; the message says why and what to do."""


@dataclass(frozen=True)
class ResolvedExporters:
    """The exporters that were asked for, as far as they can be had."""

    exporters: list[tuple[str, SpanExporter]] = field(default_factory=list)
    """Name and exporter, in the order asked for."""
    problems: list[str] = field(default_factory=list)
    """A sentence for each that cannot be had: the thing, and the mend."""


def exporter_names(ours: Iterable[str]) -> list[str]:
    """Return every name that can be asked for.

    Args:
        ours: The names of our own.
    """
    return sorted({*ours, *(point.name for point in entry_points(group=GROUP)), "none"})


def why_missing(signal: str, name: str, error: Exception) -> str:
    """Return why an exporter of metrics or logs cannot be had, and the mend.

    Args:
        signal: `metrics` or `logs`.
        name: The name of an entry point, as the SDK looks for it.
        error: What became of that.
    """
    there = {point.name for point in entry_points(group=f"opentelemetry_{signal}_exporter")}
    if name in there:
        return f"exporter {name!r} cannot be loaded ({type(error).__name__}: {error})"
    if name in _PACKAGES:
        return not_installed(name)
    return _unknown(name, sorted({"none", *(_PACKAGES.get(one, (one,))[0] for one in there)}))


def not_installed(point: str) -> str:
    """Return what to install for an exporter of OpenTelemetry's.

    Args:
        point: The name of its entry point.
    """
    name, package = _PACKAGES[point]
    return f"the {name} exporter is not installed; install {package}"


def find_exporters(wanted: Iterable[object], ours: Mapping[str, ExporterConstructor]) -> ResolvedExporters:
    """Find or make the exporters that were asked for.

    Args:
        wanted: Names and ready instances. `none` asks for nothing; a name asked for twice is made once.
        ours: Our own exporters by name. They come before an entry point of the same name, because the SDK
            has a `console` as well.
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
        except Exception as error:  # noqa: BLE001 - a third party's constructor may do anything
            resolved.problems.append(
                f"exporter {name!r} could not be made ({type(error).__name__}: {error}); "
                "check the settings its documentation names"
            )
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
    return f"{kind} is no exporter; pass names, or instances of OpenTelemetry's SpanExporter"
