"""Providers of tracers and loggers. Applications keep tracers and loggers, which therefore outlive their provider."""

from __future__ import annotations

from weakref import WeakSet

from opentelemetry._logs import Logger as APILogger
from opentelemetry.sdk._logs import Logger, LoggerProvider
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import (
    SpanLimits,
    SpanProcessor,
    SynchronousMultiSpanProcessor,
    Tracer,
    TracerProvider,
)
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import Sampler
from opentelemetry.trace import Tracer as APITracer
from opentelemetry.util.types import Attributes

from mita_otel._otel_compat.logs import log_record_limits, move_logger
from mita_otel._otel_compat.traces import move_tracer
from mita_otel.processors.pipeline_health import PipelineHealth
from mita_otel.processors.queues.export_queue import FanOut


class IssuedHandles:
    """Tracers, loggers and instruments that outlive a configuration. The next configuration reuses them."""

    def __init__(self) -> None:
        self.tracers: WeakSet[Tracer] = WeakSet()
        self.loggers: WeakSet[Logger] = WeakSet()
        self.pipeline_health = PipelineHealth()

    def borrowed(self) -> IssuedHandles:
        """Return handles with the same tracers and loggers, for a configuration that another one outlives."""
        handles = IssuedHandles()
        handles.tracers, handles.loggers = self.tracers, self.loggers
        return handles

    def move(self, tracer_provider: object, logger_provider: object) -> None:
        """Let all tracers and loggers use these providers, if they are the SDK's."""
        if isinstance(tracer_provider, TracerProvider):
            for tracer in list(self.tracers):
                move_tracer(tracer, tracer_provider)
        if isinstance(logger_provider, LoggerProvider):
            for logger in list(self.loggers):
                move_logger(logger, logger_provider)


class GuardedTracerProvider(TracerProvider):
    """A provider that adds every processor, also later ones, behind the redaction boundary.

    It registers nothing with `atexit`: `Lifecycle` ends it within a deadline.

    Args:
        chain: The chain's first processor.
        fan_out: The chain's end, where `add_span_processor` adds.
        issued: Tracers of earlier providers, which create their spans here from now on.
        resource: The service's resource.
        sampler: None: the SDK's default, which reads `OTEL_TRACES_SAMPLER`.
        id_generator: None: the SDK's default.
        recorded_length: Characters of an attribute value that are recorded. None: all.
    """

    def __init__(
        self,
        chain: SpanProcessor,
        fan_out: FanOut,
        issued: IssuedHandles,
        *,
        resource: Resource,
        sampler: Sampler | None = None,
        id_generator: IdGenerator | None = None,
        recorded_length: int | None = None,
    ) -> None:
        cut_at = SpanLimits.UNSET if recorded_length is None else recorded_length
        processors = SynchronousMultiSpanProcessor()  # type: ignore[no-untyped-call]
        processors.add_span_processor(chain)
        super().__init__(
            sampler=sampler,
            resource=resource,
            id_generator=id_generator,
            active_span_processor=processors,
            shutdown_on_exit=False,
            span_limits=SpanLimits(max_attribute_length=cut_at, max_span_attribute_length=cut_at),
        )
        self._fan_out = fan_out
        self._issued = issued
        issued.move(self, None)

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: Attributes = None,
    ) -> APITracer:
        """Return a tracer. Later configurations reuse it."""
        tracer = super().get_tracer(
            instrumenting_module_name, instrumenting_library_version, schema_url, attributes
        )
        if isinstance(tracer, Tracer):
            self._issued.tracers.add(tracer)
        return tracer

    def add_span_processor(self, span_processor: SpanProcessor) -> None:
        """Add a processor behind the limits and the redactor."""
        self._fan_out.add(span_processor)


class GuardedLoggerProvider(LoggerProvider):
    """A provider that registers nothing with `atexit`, and reuses the loggers of earlier providers.

    Args:
        issued: Loggers of earlier providers, which emit here from now on.
        resource: The service's resource.
        recorded_length: Characters of an attribute value that are recorded. None: all.
    """

    def __init__(
        self, issued: IssuedHandles, *, resource: Resource, recorded_length: int | None = None
    ) -> None:
        limits = log_record_limits(recorded_length)
        super().__init__(resource=resource, shutdown_on_exit=False, **limits)
        self._issued = issued
        issued.move(None, self)

    def get_logger(
        self,
        name: str,
        version: str | None = None,
        schema_url: str | None = None,
        attributes: Attributes = None,
    ) -> APILogger:
        """Return a logger. Later configurations reuse it."""
        logger = super().get_logger(name, version, schema_url, attributes)
        if isinstance(logger, Logger):
            self._issued.loggers.add(logger)
        return logger
