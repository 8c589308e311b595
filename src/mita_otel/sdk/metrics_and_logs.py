"""Metrics and logs: OpenTelemetry's own exporters, by the standard variables, behind the redactor; the host's as well."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal

from opentelemetry import _logs, metrics
from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor
from opentelemetry.sdk._logs.export import LogRecordExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

from mita_otel import _otel_compat
from mita_otel import environment_variables as variables
from mita_otel.exporters.otlp import log_failures_once
from mita_otel.exporters.registry import why_missing
from mita_otel.instrumentation.logging import StandardLogging
from mita_otel.policy import Policy
from mita_otel.policy.runtime import LifecyclePolicy
from mita_otel.processors.context import ContextLogProcessor
from mita_otel.processors.log_redaction import LogRedactionProcessor
from mita_otel.processors.metric_redaction import RedactedMetricExporter, redact_reader
from mita_otel.processors.queues.log_queue import LogQueue, LogStage
from mita_otel.processors.queues.losses import Losses
from mita_otel.processors.queues.metric_stage import MetricStage
from mita_otel.redaction import Redactor

_logger = logging.getLogger("mita_otel")

OtherSignal = Literal["metrics", "logs"]
EXPORTER_VARIABLES: Final[dict[OtherSignal, str]] = {
    "metrics": variables.METRICS_EXPORTER,
    "logs": variables.LOGS_EXPORTER,
}
"""What names the exporters of each."""


def start_metrics(
    resource: Resource, redactor: Redactor, losses: Losses, policy: LifecyclePolicy
) -> list[MetricStage]:
    """Start metrics if `OTEL_METRICS_EXPORTER` asks for them and nobody has; else join the host's.

    Args:
        resource: What the service is.
        redactor: What metrics pass before an exporter.
        losses: Where it is counted that the last of them were not exported.
        policy: How long the end of the process may be held up.

    Returns:
        The provider, kept to deadlines, or nothing: nobody wants metrics, or the host's provider is not ours to end.
    """
    if _otel_compat.has_meter_provider():
        _join_metrics(redactor)
        return []
    exporters = _made("metrics")
    if not exporters:
        return []
    readers = [
        redact_reader(redactor, _only_asked(one))
        if isinstance(one, MetricReader)
        else PeriodicExportingMetricReader(RedactedMetricExporter(redactor, one))
        for one in exporters
    ]
    provider = MeterProvider(resource=resource, metric_readers=readers, shutdown_on_exit=False)
    metrics.set_meter_provider(provider)
    log_failures_once()
    stage = MetricStage(provider, losses, stop_timeout_s=policy.shutdown_timeout_s)
    stage.start()
    return [stage]


def _only_asked(reader: MetricReader) -> MetricReader:
    """Return a reader that waits to be asked, as Prometheus' does: it has nothing to flush.

    Prometheus' would collect, keep what it got, and show it before the newer numbers when it is asked.
    """
    reader.force_flush = lambda timeout_millis=10_000: True  # type: ignore[method-assign]
    return reader


def _made(signal: OtherSignal) -> list[Any]:
    """Make the exporters that a signal's variable names. One that cannot be had costs a line, and the others go on."""
    asked = _otel_compat.asked_exporters(signal)
    for name, error in asked.missing.items():
        _logger.error("%s: %s. It is left out", EXPORTER_VARIABLES[signal], why_missing(signal, name, error))
    made = []
    for name, make in asked.classes.items():
        try:
            made.append(make())
        except Exception as error:  # noqa: BLE001 - a third party's constructor may do anything
            mend = "check its settings"
            if name == "prometheus" and isinstance(error, OSError):
                mend = (
                    f"give each process a port of its own ({variables.PROMETHEUS_PORT}), or use otlp where there are "
                    "several workers"
                )
            _logger.error("the %s exporter %s is off in this process: %s; %s", signal, name, error, mend)
    return made


def _join_metrics(redactor: Redactor) -> None:
    present = metrics.get_meter_provider()
    if not isinstance(present, MeterProvider):
        _logger.warning(
            "the MeterProvider that was set already, of type %s.%s, is not the OpenTelemetry SDK's: "
            "its metrics are not redacted. Call configure() before it is set",
            type(present).__module__,
            type(present).__qualname__,
        )
        return
    for reader in _otel_compat.readers_of(present):
        redact_reader(redactor, reader)


def start_logs(
    resource: Resource,
    redactor: Redactor,
    losses: Losses,
    policy: Policy,
    listeners: Sequence[LogRecordProcessor] = (),
    more: Sequence[tuple[str, LogRecordExporter]] = (),
    known_here: Callable[[], Mapping[str, Any]] = dict,
) -> list[LogStage]:
    """Start log records if `OTEL_LOGS_EXPORTER` asks for them, or somebody listens to errors; or join the host's.

    If records are exported, those of standard logging are emitted too, from `instrumentation.logging` of the policy on.

    Args:
        resource: What the service is.
        redactor: What records pass before an exporter.
        losses: Where lost records are counted.
        policy: Bounds of the queues.
        listeners: Processors that take raw records and redact what they send themselves. The host's provider
            gets them, if there is one.
        more: Names and exporters beside those of the variable.
        known_here: Returns the attributes that every record shows of the context it is emitted in.

    Returns:
        The provider, kept to deadlines, or nothing: nobody wants records, or the host's provider is not ours to end.
    """
    asked: list[tuple[str, LogRecordExporter]] = [(type(one).__name__, one) for one in _made("logs")]
    deadline_s = policy.lifecycle.shutdown_timeout_s
    queues = [
        LogQueue(name, exporter, policy.export.queue, losses, stop_timeout_s=deadline_s)
        for name, exporter in [*asked, *more]
    ]
    redacted = [LogRedactionProcessor(redactor, queue) for queue in queues]
    if queues and policy.instrumentation.logging != "off":
        StandardLogging(policy.instrumentation.logging).install()
    ours: tuple[LogRecordProcessor, ...] = (ContextLogProcessor(known_here), *listeners, *redacted)
    if _otel_compat.has_logger_provider():
        present = _logs.get_logger_provider()
        if isinstance(present, LoggerProvider):
            for processor in ours:
                present.add_log_record_processor(processor)
            _otel_compat.put_before_log_processors(
                present, lambda one: one if one in ours else LogRedactionProcessor(redactor, one)
            )
        else:
            _logger.warning(
                "the LoggerProvider that was set already, of type %s.%s, is not the OpenTelemetry SDK's: "
                "its log records are not redacted. Call configure() before it is set",
                type(present).__module__,
                type(present).__qualname__,
            )
        return []
    if not queues and not listeners:
        return []
    provider = LoggerProvider(resource=resource, shutdown_on_exit=False)
    for processor in ours:
        provider.add_log_record_processor(processor)
    _logs.set_logger_provider(provider)
    return [LogStage(provider, queues)]
