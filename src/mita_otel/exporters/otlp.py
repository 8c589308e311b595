"""The `otlp` exporter: OpenTelemetry's exporter for the configured protocol."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from importlib.metadata import entry_points

from opentelemetry.sdk.trace.export import SpanExporter

from mita_otel.exporters.registry import GROUP, ExporterUnavailableError, not_installed
from mita_otel.instrumentation.patches import Patches

_PROTOCOLS = {"http/protobuf": "otlp_proto_http", "grpc": "otlp_proto_grpc"}


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


class _OncePerFailure(logging.Filter):
    """Suppresses consecutive repetitions of a log message."""

    def __init__(self) -> None:
        super().__init__()
        self._last: tuple[int, object] | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        this = (record.levelno, record.msg)
        if this == self._last:
            return False
        self._last = this
        return True


def log_failures_once(patches: Patches) -> None:
    """Let OTLP's exporters log a failure once, not for every batch and retry: our queues count and log lost items."""
    for name in (
        "opentelemetry.exporter.otlp.proto.http.trace_exporter",
        "opentelemetry.exporter.otlp.proto.http.metric_exporter",
        "opentelemetry.exporter.otlp.proto.http._log_exporter",
        "opentelemetry.exporter.otlp.proto.grpc.exporter",
        "opentelemetry.exporter.http.transport",
        "urllib3.connectionpool",
    ):
        logger, once = logging.getLogger(name), _OncePerFailure()
        logger.addFilter(once)
        patches.add(partial(logger.removeFilter, once))
