"""Traces: the provider, the chain in it, and who decides about a trace; a new provider, or the host's, joined."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter

from mita_otel import _otel_compat
from mita_otel import environment_variables as variables
from mita_otel.errors import ConfigurationError
from mita_otel.policy import Policy
from mita_otel.processors.guarded_provider import GuardedTracerProvider
from mita_otel.processors.measurements import Measurements
from mita_otel.processors.observation import SpanObserver
from mita_otel.processors.pipeline import Pipeline
from mita_otel.processors.pipeline_health import PipelineHealth
from mita_otel.processors.queues.losses import Losses
from mita_otel.processors.queues.stage import Stage, milliseconds_left
from mita_otel.processors.samplers import SamplerChoice, choose_sampler, rate_of
from mita_otel.redaction import Redactor

_logger = logging.getLogger("mita_otel")


@dataclass(frozen=True)
class Tracing(Stage):
    """Traces: the provider, our chain in it, and who decides about a trace."""

    provider: TracerProvider
    pipeline: Pipeline
    measurements: Measurements
    sampling: SamplerChoice

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
        """Shut the provider down."""
        self.provider.shutdown()


def start_tracing(
    policy: Policy,
    redactor: Redactor,
    exporters: list[tuple[str, SpanExporter]],
    losses: Losses,
    resource: Resource,
    env: Mapping[str, str],
    *,
    enrich: Callable[[Span], None] | None = None,
    observers: Sequence[SpanObserver] = (),
    thin_out: bool = True,
) -> Tracing:
    """Put our chain into a provider and make it the global one, or into the host's provider if there is one.

    Args:
        policy: The policy.
        redactor: The only door out.
        exporters: Names and exporters.
        losses: Where lost spans are counted.
        resource: What the service is.
        env: The environment variables.
        enrich: Sets what is known of user and transaction on each span that begins.
        observers: See every finished span before any sampling, beside our own.
        thin_out: Whether the policy's sampling applies. False: everything is kept.

    Raises:
        ConfigurationError: The host's provider is not the SDK's.
    """
    asked = _otel_compat.sampler_from_environment()
    if asked is not None and policy.sampling.mode != "always":
        _logger.info(
            "%s=%s decides which traces are kept; sampling.mode = %s of the policy does not apply",
            variables.TRACES_SAMPLER,
            env.get(variables.TRACES_SAMPLER),
            policy.sampling.mode,
        )
    sampling = policy.sampling if thin_out else policy.sampling.replace(mode="always")
    choice = choose_sampler(sampling, asked)
    measurements = Measurements(
        policy,
        redactor.text,
        losses,
        tail=choice.tail,
        metrics_active=_otel_compat.has_meter_provider,
        env=env,
        more_observers=observers,
    )

    def build(behind: tuple[SpanProcessor, ...] = ()) -> Pipeline:
        return Pipeline(policy, redactor, exporters, losses, measurements, behind, enrich, tail=choice.tail)

    current = trace.get_tracer_provider()
    if isinstance(current, trace.ProxyTracerProvider):
        pipeline = build()
        provider: TracerProvider = GuardedTracerProvider(
            pipeline.first,
            pipeline.fan_out,
            resource=resource,
            sampler=choice.sampler,
            id_generator=_otel_compat.id_generator_from_environment(),
        )
        trace.set_tracer_provider(provider)
    else:
        joined = _otel_compat.unwrap_provider(current)
        if joined is None:
            raise ConfigurationError(
                f"a TracerProvider of type {type(current).__module__}.{type(current).__qualname__} is set already, "
                "and it is not the OpenTelemetry SDK's: its spans cannot be redacted. Call configure() before it is set"
            )
        # The host's sampler stays: what it leaves out is never recorded.
        choice = replace(choice, sampler=joined.sampler, rate=rate_of(joined.sampler))
        provider, pipeline = joined, _join(joined, build, choice)
    PipelineHealth(pipeline, measurements.ledger, policy.export.queue)
    return Tracing(provider, pipeline, measurements, choice)


def _join(
    provider: TracerProvider, build: Callable[[tuple[SpanProcessor, ...]], Pipeline], choice: SamplerChoice
) -> Pipeline:
    pipelines: list[Pipeline] = []

    def put(present: tuple[SpanProcessor, ...]) -> SpanProcessor:
        pipelines.append(build(present))
        return pipelines[0].first

    _otel_compat.put_in_front(provider, put, lambda processor: pipelines[0].fan_out.add(processor))
    pipeline = pipelines[0]
    _logger.warning(
        "joined the TracerProvider that was set already: its %d processors now get marked and redacted spans%s",
        len(pipeline.fan_out.processors) - len(pipeline.queues),
        " of the traces that tail sampling keeps" if choice.tail else "",
    )
    return pipeline
