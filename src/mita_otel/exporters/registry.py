"""Finds exporters by name: ours in a table from the composition root, others by entry point.

`otlp` is OpenTelemetry's exporter for the configured protocol.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import partial
from importlib.metadata import entry_points
from time import monotonic
from typing import Final

from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from opentelemetry.sdk.trace.export import SpanExporter

from mita_otel.errors import raise_interrupt
from mita_otel.instrumentation.patches import Patches

GROUP = "opentelemetry_traces_exporter"
"""The entry-point group of span exporters, as the OpenTelemetry SDK names it."""
_PACKAGES = {
    "otlp_proto_http": ("otlp", "mita-otel[otlp]"),
    "otlp_proto_grpc": ("otlp", "mita-otel[otlp-grpc]"),
    "prometheus": ("prometheus", "mita-otel[prometheus]"),
}
"""For each entry point: the exporter's name and the package to install."""

ExporterConstructor = Callable[[], SpanExporter]
_PROTOCOLS = {"http/protobuf": "otlp_proto_http", "grpc": "otlp_proto_grpc"}
_PAUSE_S: Final = 60.0
"""Seconds between two lines about one failure."""
_MAX_FAILURES: Final = 64


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


def make_otlp_exporter(env: Mapping[str, str]) -> SpanExporter:
    """Return the OTLP exporter for the protocol in `OTEL_EXPORTER_OTLP_PROTOCOL`.

    Without the variable it uses an installed protocol, HTTP first. (The SDK alone requires gRPC, and fails to start if
    only HTTP is installed.)

    Raises:
        ExporterUnavailableError: The protocol's package is not installed.
    """
    asked = env.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or env.get("OTEL_EXPORTER_OTLP_PROTOCOL") or ""
    wanted = [_PROTOCOLS[asked]] if asked in _PROTOCOLS else list(_PROTOCOLS.values())
    for name in wanted:
        for point in entry_points(group=GROUP, name=name):
            exporter = point.load()()
            if isinstance(exporter, SpanExporter):
                return exporter
    raise ExporterUnavailableError(not_installed(wanted[0]))


class _OncePerMinute(logging.Filter):
    """Passes a line about a failure of an export once a minute. Lines of the application's own requests all pass.

    Args:
        clock: Returns seconds that never decrease.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self._clock = clock
        self._passed: dict[tuple[object, ...], float] = {}
        """When a line last passed, by level, message and its texts: numbers and objects differ from retry to retry."""

    def filter(self, record: logging.LogRecord) -> bool:
        if is_instrumentation_enabled():
            return True  # exports suppress it
        arguments = record.args if isinstance(record.args, tuple) else ()
        failure = (record.levelno, str(record.msg), *(one for one in arguments if isinstance(one, str)))
        now = self._clock()
        if now - self._passed.get(failure, -_PAUSE_S) < _PAUSE_S:
            return False
        if len(self._passed) >= _MAX_FAILURES:
            self._passed.clear()
        self._passed[failure] = now
        return True


def log_failures_once(patches: Patches, clock: Callable[[], float] = monotonic) -> None:
    """Let OTLP's exporters log a failure once a minute, not for every batch and retry: our queues count lost items.

    Args:
        patches: Takes the filters back.
        clock: Returns seconds that never decrease.
    """
    for name in (
        "opentelemetry.exporter.otlp.proto.http.trace_exporter",
        "opentelemetry.exporter.otlp.proto.http.metric_exporter",
        "opentelemetry.exporter.otlp.proto.http._log_exporter",
        "opentelemetry.exporter.otlp.proto.grpc.exporter",
        "opentelemetry.exporter.http.transport",
        "urllib3.connectionpool",
    ):
        logger, once = logging.getLogger(name), _OncePerMinute(clock)
        logger.addFilter(once)
        patches.add(partial(logger.removeFilter, once))
