"""Metrics and logs: OpenTelemetry's own exporters, by the standard variables, behind the redactor; also the host's."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, Literal, NamedTuple

from opentelemetry import _logs, metrics
from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor
from opentelemetry.sdk._logs.export import LogRecordExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader

from mita_otel import environment_variables as variables
from mita_otel._otel_compat.global_providers import (
    has_logger_provider,
    has_meter_provider,
    unset_logger_provider,
    unset_meter_provider,
)
from mita_otel._otel_compat.logs import join_logger_provider, log_record_length_limits, log_record_limits
from mita_otel._otel_compat.metrics import forget_meters, readers_of, skip_flush
from mita_otel._otel_compat.sdk_configuration import asked_exporters
from mita_otel.errors import raise_interrupt
from mita_otel.exporters.registry import why_missing
from mita_otel.instrumentation.logging import StandardLogging
from mita_otel.instrumentation.patches import type_name
from mita_otel.policy.runtime import QueuePolicy
from mita_otel.processors.context import ContextLogProcessor
from mita_otel.processors.log_redaction import LogRedaction, LogRedactionProcessor
from mita_otel.processors.metric_redaction import RedactedMetricExporter, redact_reader
from mita_otel.processors.providers import GuardedLoggerProvider, IssuedHandles
from mita_otel.processors.queues.log_queue import LogQueue, LogStage
from mita_otel.processors.queues.metric_stage import MetricStage, PeriodicReader
from mita_otel.processors.queues.stage import Stage
from mita_otel.processors.value_lengths import recorded_length
from mita_otel.sdk.exporter_factory import UnavailableLogExporter, UnavailableMetricExporter
from mita_otel.sdk.service import Service

_logger = logging.getLogger("mita_otel")

OtherSignal = Literal["metrics", "logs"]
EXPORTER_VARIABLES: Final[dict[OtherSignal, str]] = {
    "metrics": variables.METRICS_EXPORTER,
    "logs": variables.LOGS_EXPORTER,
}
"""The variable that names the exporters of each signal."""


def start_metrics(service: Service) -> list[Stage]:
    """Start metrics if `OTEL_METRICS_EXPORTER` names exporters, or join the host's provider.

    Returns:
        The provider as a stage. Empty: there are no exporters, or the provider is the host's.
    """
    service.patches.add(partial(forget_meters, "mita_otel"))
    if has_meter_provider():
        _join_metrics(service)
        return []
    made = _make_exporters("metrics")
    unavailable = [UnavailableMetricExporter(service.losses) for _ in made.unavailable]
    if not made.exporters:
        return [*unavailable]
    readers = [_redacted_reader(service, one) for one in made.exporters]
    provider = MeterProvider(resource=service.resource, metric_readers=readers, shutdown_on_exit=False)
    metrics.set_meter_provider(provider)
    service.patches.add(partial(unset_meter_provider, provider))
    stage = MetricStage(provider, service.losses, stop_timeout_s=service.policy.lifecycle.shutdown_timeout_s)
    stage.start()
    return [stage, *unavailable]


def _redacted_reader(service: Service, exporter: Any) -> MetricReader:
    """Return a reader of redacted metrics for what an entry point of metrics exporters makes: a reader or an exporter."""
    if not isinstance(exporter, MetricReader):
        redacted = RedactedMetricExporter(service.redactor, exporter, service.losses)
        return PeriodicReader(redacted, service.losses)
    skip_flush(exporter)
    return redact_reader(service.redactor, exporter)


def _join_metrics(service: Service) -> None:
    present = metrics.get_meter_provider()
    if not isinstance(present, MeterProvider):
        _warn_of_foreign("MeterProvider", present, "metrics")
        return
    for reader in readers_of(present):
        redact_reader(service.redactor, reader, service.patches.set)


def start_logs(
    service: Service,
    issued: IssuedHandles,
    *,
    listeners: Sequence[LogRecordProcessor] = (),
    exporters: Sequence[tuple[str, LogRecordExporter]] = (),
    context_attributes: Callable[[], Mapping[str, Any]] = dict,
    on_error: Callable[[logging.LogRecord], None] | None = None,
) -> list[Stage]:
    """Start log records if `OTEL_LOGS_EXPORTER` names exporters or there are listeners, or join the host's provider.

    With exporters, records of standard logging are emitted too, from the level `instrumentation.logging` of the policy.

    Args:
        service: The service.
        issued: Loggers of earlier configurations.
        listeners: Processors that receive records before redaction, and redact what they send.
        exporters: Names and exporters beside those of the variable.
        context_attributes: Returns the attributes that every record gets from the context in which it is emitted.
        on_error: Called with each record of standard logging of level ERROR or above.

    Returns:
        The provider as a stage. Empty: no one needs records, or the provider is the host's.
    """
    made = _make_exporters("logs")
    named = [(type(one).__name__, one) for one in made.exporters]
    unavailable = [UnavailableLogExporter(name, service.losses) for name in made.unavailable]
    redaction = LogRedaction(service.redactor, recorded_lengths=_recorded_lengths(service))
    queues = [_log_queue(service, redaction, name, exporter) for name, exporter in [*named, *exporters]]
    level = service.policy.instrumentation.logging if queues or unavailable else "off"
    if level != "off" or on_error is not None:
        StandardLogging(level, on_error=on_error).install(service.patches)
    ours: list[LogRecordProcessor] = [
        ContextLogProcessor(context_attributes),
        *listeners,
        *queues,
        *unavailable,
    ]
    if has_logger_provider():
        return _join_logs(service, ours, queues)
    if not queues and not listeners and not unavailable:
        return []
    provider = GuardedLoggerProvider(
        issued, resource=service.resource, recorded_length=recorded_length(service.policy.redaction)
    )
    for processor in ours:
        provider.add_log_record_processor(processor)
    _logs.set_logger_provider(provider)
    service.patches.add(partial(unset_logger_provider, provider))
    return [LogStage(provider, queues)]


def _recorded_lengths(service: Service) -> Sequence[int | None]:
    """Return the lengths at which the provider of loggers cuts values. Empty: those that the environment sets."""
    if has_logger_provider():
        return log_record_length_limits(_logs.get_logger_provider())
    recorded = recorded_length(service.policy.redaction)
    return (recorded,) if log_record_limits(recorded) else ()


def _log_queue(service: Service, redaction: LogRedaction, name: str, exporter: LogRecordExporter) -> LogQueue:
    policy = service.policy
    return LogQueue(
        name,
        exporter,
        log_queue_policy(policy.export.queue, service.env),
        service.losses,
        stop_timeout_s=policy.lifecycle.shutdown_timeout_s,
        redaction=redaction,
        max_bytes=policy.export.max_log_megabytes * 1e6,
        slices=service.slices,
    )


_OF_LOGS: Final = {
    variables.BLRP_SCHEDULE_DELAY: "delay_ms",
    variables.BLRP_MAX_QUEUE_SIZE: "exporter_max_spans",
    variables.BLRP_MAX_EXPORT_BATCH_SIZE: "max_batch",
}
"""The variables that bound the queues of log records, and the settings that they replace."""


def log_queue_policy(queue: QueuePolicy, env: Mapping[str, str]) -> QueuePolicy:
    """Return the bounds of the queues of log records. Unusable values were removed from the variables."""
    values = {setting: env[name] for name, setting in _OF_LOGS.items() if env.get(name, "").strip()}
    return queue.replace(
        **{setting: float(text) if setting == "delay_ms" else int(text) for setting, text in values.items()}
    )


def _join_logs(service: Service, ours: list[LogRecordProcessor], queues: list[LogQueue]) -> list[Stage]:
    present = _logs.get_logger_provider()
    if not isinstance(present, LoggerProvider):
        _warn_of_foreign("LoggerProvider", present, "log records")
        return []
    redact = partial(LogRedactionProcessor, service.redactor, recorded_lengths=_recorded_lengths(service))
    leave = join_logger_provider(present, ours, redact, service.patches.set)
    service.patches.add(leave)
    return list(queues)


class MadeExporters(NamedTuple):
    """The exporters that a signal's variable names."""

    exporters: list[Any]
    unavailable: dict[str, str]
    """Why an exporter could not be made, by its name."""


def _make_exporters(signal: OtherSignal) -> MadeExporters:
    """Make the exporters that a signal's variable names. One that cannot be made is logged."""
    asked = asked_exporters(signal)
    made = MadeExporters([], {})
    for name, error in asked.missing.items():
        made.unavailable[name] = why_missing(signal, name, error)
        _logger.error("%s: %s. It is left out", EXPORTER_VARIABLES[signal], made.unavailable[name])
    for name, make in asked.classes.items():
        try:
            made.exporters.append(make())
        except BaseException as error:  # noqa: BLE001 - a third party's constructor may raise anything
            raise_interrupt(error)
            fix = "check its settings"
            if name == "prometheus" and isinstance(error, OSError):
                fix = (
                    f"give each process its own port ({variables.PROMETHEUS_PORT}), or use otlp where there are "
                    "several workers"
                )
            made.unavailable[name] = f"{error or type(error).__name__}; {fix}"
            _logger.error("the %s exporter %s is off in this process: %s; %s", signal, name, error, fix)
    return made


def _warn_of_foreign(kind: str, provider: object, signal: str) -> None:
    _logger.warning(
        "the %s that was set already, of type %s, is not the OpenTelemetry SDK's: its %s are not redacted. "
        "Call configure() before it is set",
        kind,
        type_name(provider),
        signal,
    )
