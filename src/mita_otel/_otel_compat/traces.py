"""Spans: their limits, the processors of a provider, tracers that move, and the clock of spans and log records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from opentelemetry.sdk.trace import SpanProcessor, Tracer, TracerProvider

from mita_otel._otel_compat import Patch


def span_length_limits(provider: TracerProvider) -> tuple[int | None, int | None]:
    """Return the lengths at which a provider cuts attributes of spans, and those of events and links. None: not cut."""
    limits = provider._span_limits
    return limits.max_span_attribute_length, limits.max_attribute_length


def put_in_front(
    provider: TracerProvider,
    build: Callable[[tuple[SpanProcessor, ...]], SpanProcessor],
    add: Callable[[SpanProcessor], None],
    patch: Patch = setattr,
) -> Callable[[Sequence[SpanProcessor]], None]:
    """Make one processor the only one of a host's provider, with the present ones behind it.

    `add_span_processor` can only append, and the processors before ours would receive spans with secrets.

    Args:
        provider: The provider that the host made.
        build: Receives the present processors and returns the one that takes their place.
        add: Takes the place of the provider's `add_span_processor`, so that a later processor is behind ours as well.
        patch: Sets the attribute.

    Returns:
        A function that puts processors in the place of ours.
    """
    multi = provider._active_span_processor
    with multi._lock:
        front = build(tuple(multi._span_processors))
        multi._span_processors = (front,)
    patch(provider, "add_span_processor", add)

    def put_back(processors: Sequence[SpanProcessor]) -> None:
        with multi._lock:
            left = [one for one in multi._span_processors if one is not front]
            multi._span_processors = (*processors, *left)

    return put_back


def unwrap_provider(provider: Any) -> TracerProvider | None:
    """Return the SDK's provider if that is what `provider` is or wraps (as logfire's proxy does)."""
    for _ in range(3):
        if isinstance(provider, TracerProvider):
            return provider
        provider = getattr(provider, "provider", None)
    return None


def move_tracer(tracer: Tracer, provider: TracerProvider) -> None:
    """Let a tracer that another provider made start its spans in this one."""
    tracer.sampler = provider.sampler
    tracer.resource = provider.resource
    tracer.span_processor = provider._active_span_processor
    tracer.id_generator = provider.id_generator


def set_clock(clock_ns: Callable[[], int], patch: Patch = setattr) -> None:
    """Let spans and log records get their times from a clock.

    Args:
        clock_ns: Nanoseconds since the epoch.
        patch: Sets the attribute.
    """
    from opentelemetry._logs import _internal as api_logs
    from opentelemetry.sdk import trace
    from opentelemetry.sdk._logs import _internal as logs

    for module in (trace, logs, api_logs):
        if hasattr(module, "time_ns"):
            patch(module, "time_ns", clock_ns)
