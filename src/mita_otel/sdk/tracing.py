"""Traces: a new provider with our chain in it, or the host's provider, joined."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator

from mita_otel import environment_variables as variables
from mita_otel._otel_compat.global_providers import has_meter_provider, unset_tracer_provider
from mita_otel._otel_compat.sdk_configuration import id_generator_from_environment, sampler_from_environment
from mita_otel._otel_compat.traces import put_in_front, span_length_limits, unwrap_provider
from mita_otel.errors import ConfigurationError
from mita_otel.instrumentation.patches import Patches, type_name
from mita_otel.processors.observation import SpanObserver
from mita_otel.processors.pipeline import Measurements, Pipeline
from mita_otel.processors.providers import GuardedTracerProvider, IssuedHandles
from mita_otel.processors.queues.stage import Stage, milliseconds_left
from mita_otel.processors.samplers import SamplerChoice, choose_sampler, rate_of
from mita_otel.processors.value_lengths import recorded_length
from mita_otel.sdk.service import Service

_logger = logging.getLogger("mita_otel")


@dataclass(frozen=True)
class Tracing(Stage):
    """Traces: the provider, our chain in it, and the sampler."""

    provider: TracerProvider
    pipeline: Pipeline
    measurements: Measurements
    sampling: SamplerChoice
    joined: bool = False
    """Whether the provider is the host's."""

    def start(self) -> None:
        """Start the pipeline's thread."""
        self.pipeline.first.start()

    def flush(self, deadline_s: float) -> bool:
        """Bring every span that has ended to its backend. Returns False if the deadline passed first."""
        return self.provider.force_flush(milliseconds_left(deadline_s))

    def drain(self) -> None:
        """Decide every trace, and let the exporters hold nothing back."""
        self.pipeline.drain()

    def abandon(self) -> None:
        """Count every span that was not sent as lost."""
        self.pipeline.abandon()

    def close(self) -> None:
        """Shut the chain down, and the provider if it is ours."""
        if self.joined:
            self.pipeline.close()
        else:
            self.provider.shutdown()


def start_tracing(
    service: Service,
    exporters: list[tuple[str, SpanExporter]],
    issued: IssuedHandles,
    *,
    enrich: Callable[[Span], None] | None = None,
    observers: Sequence[SpanObserver] = (),
    keep_all: bool = False,
    on_end: Callable[[ReadableSpan], None] | None = None,
    id_generator: IdGenerator | None = None,
) -> Tracing:
    """Put our chain into a new global provider, or into the host's provider if there is one.

    Args:
        service: The service.
        exporters: Names and exporters.
        issued: Tracers of earlier configurations.
        enrich: Sets attributes of the user and the transaction on each span that starts.
        observers: See every finished span before any sampling, beside our own.
        keep_all: Whether every trace is kept, whatever the policy's sampling says.
        on_end: Called with each span that ends, on the thread that ends it.
        id_generator: Makes the ids of traces and spans. None: as `OTEL_PYTHON_ID_GENERATOR` says.

    Raises:
        ConfigurationError: The host's provider is not the SDK's.
    """
    policy = service.policy
    asked = sampler_from_environment()
    if asked is not None and policy.sampling.mode != "always":
        _logger.info(
            "%s=%s decides which traces are kept; sampling.mode = %s of the policy does not apply",
            variables.TRACES_SAMPLER,
            service.env.get(variables.TRACES_SAMPLER),
            policy.sampling.mode,
        )
    sampling = policy.sampling.replace(mode="always") if keep_all else policy.sampling
    choice = choose_sampler(sampling, asked)
    measurements = Measurements(
        policy,
        service.redactor.text,
        service.losses,
        tail=choice.tail,
        metrics_active=has_meter_provider,
        env=service.env,
        more_observers=observers,
    )

    current = trace.get_tracer_provider()
    host = unwrap_provider(current)
    recorded = recorded_length(policy.redaction)

    def build(behind: tuple[SpanProcessor, ...] = ()) -> Pipeline:
        return Pipeline(
            policy,
            service.redactor,
            exporters,
            service.losses,
            measurements,
            behind,
            enrich,
            tail=choice.tail,
            on_end=on_end,
            slices=service.slices,
            recorded_lengths=(recorded,) if host is None else span_length_limits(host),
        )

    if host is not None:
        # The host's sampler stays: the spans that it drops are never recorded.
        choice = replace(choice, sampler=host.sampler, rate=rate_of(host.sampler))
        tracing = Tracing(
            host, _join(host, build, choice, service.patches), measurements, choice, joined=True
        )
    elif isinstance(current, trace.ProxyTracerProvider):
        pipeline = build()
        id_generator = id_generator or id_generator_from_environment()
        provider = _install(pipeline, choice, service, issued, id_generator)
        tracing = Tracing(provider, pipeline, measurements, choice)
    else:
        raise ConfigurationError(
            f"a TracerProvider of type {type_name(current)} is set already, and it is not the OpenTelemetry SDK's: "
            "its spans cannot be redacted. Call configure() before it is set"
        )
    issued.pipeline_health.watch(tracing.pipeline, measurements.ledger, policy.export.queue)
    service.patches.add(issued.pipeline_health.stop)
    return tracing


def _install(
    pipeline: Pipeline,
    choice: SamplerChoice,
    service: Service,
    issued: IssuedHandles,
    id_generator: IdGenerator | None,
) -> TracerProvider:
    """Make a provider the global one."""
    provider = GuardedTracerProvider(
        pipeline.first,
        pipeline.fan_out,
        issued,
        resource=service.resource,
        sampler=choice.sampler,
        id_generator=id_generator,
        recorded_length=recorded_length(service.policy.redaction),
    )
    trace.set_tracer_provider(provider)
    service.patches.add(partial(unset_tracer_provider, provider))
    return provider


def _join(
    provider: TracerProvider,
    build: Callable[[tuple[SpanProcessor, ...]], Pipeline],
    choice: SamplerChoice,
    patches: Patches,
) -> Pipeline:
    """Put our chain before the processors of the host's provider."""
    pipelines: list[Pipeline] = []

    def put(present: tuple[SpanProcessor, ...]) -> SpanProcessor:
        pipelines.append(build(present))
        return pipelines[0].first

    put_back = put_in_front(provider, put, lambda processor: pipelines[0].fan_out.add(processor), patches.set)
    pipeline = pipelines[0]
    patches.add(lambda: put_back(pipeline.fan_out.release()))
    _logger.warning(
        "joined the TracerProvider that was set already: its %d processors now get marked and redacted spans%s",
        len(pipeline.fan_out.processors) - len(pipeline.queues),
        " of the traces that tail sampling keeps" if choice.tail else "",
    )
    return pipeline
