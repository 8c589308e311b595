"""The `otlp` exporter: OpenTelemetry's exporter for the configured protocol."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import entry_points
from time import monotonic
from typing import Final

from opentelemetry.instrumentation.utils import is_instrumentation_enabled
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


_PAUSE_S: Final = 60.0
"""Seconds between two lines about one failure."""
_MAX_FAILURES: Final = 64


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
