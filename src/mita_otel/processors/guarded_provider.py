"""A tracer provider with one way out: whoever adds a processor later gets redacted spans as well."""

from __future__ import annotations

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import Sampler

from mita_otel.processors.queues.fan_out import FanOut


class GuardedTracerProvider(TracerProvider):
    """A provider whose processors all stand at the end of our chain.

    It registers nothing with `atexit`: the process's end is the lifecycle's business, which has a deadline.

    Args:
        chain: The chain's first processor.
        fan_out: The chain's end, where `add_span_processor` adds.
        resource: What the service is.
        sampler: None: the SDK's default, which reads `OTEL_TRACES_SAMPLER`.
        id_generator: None: the SDK's default.
    """

    def __init__(
        self,
        chain: SpanProcessor,
        fan_out: FanOut,
        *,
        resource: Resource,
        sampler: Sampler | None = None,
        id_generator: IdGenerator | None = None,
    ) -> None:
        super().__init__(
            sampler=sampler, resource=resource, id_generator=id_generator, shutdown_on_exit=False
        )
        self._fan_out = fan_out
        super().add_span_processor(chain)

    def add_span_processor(self, span_processor: SpanProcessor) -> None:
        """Add a processor behind the limits and the redactor."""
        self._fan_out.add(span_processor)
