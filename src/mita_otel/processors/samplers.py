"""Samplers, which decide when a span starts: record everything for tail sampling, keep all traces, or a fraction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from opentelemetry import trace
from opentelemetry.context import Context, create_key, get_value
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_ON,
    Decision,
    ParentBased,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)
from opentelemetry.trace import Link, SpanKind, TraceState
from opentelemetry.util.types import Attributes

from mita_otel import semconv
from mita_otel.policy.sampling import SamplingPolicy

UNDECIDED: Final = create_key("mita-otel-undecided")
"""Context key of a propagator: the caller has made no sampling decision. Trace flags cannot express this."""


@dataclass(frozen=True, slots=True)
class SamplerChoice:
    """The sampler of a process, and how it decides."""

    sampler: Sampler
    tail: bool
    """Whether a `TailSampler` decides when a trace has ended."""
    rate: float
    """Fraction of spans that limits, metrics and summaries receive."""
    description: str
    """For display, such as `tail 0.1`."""


def choose_sampler(policy: SamplingPolicy, from_environment: Sampler | None) -> SamplerChoice:
    """Return the sampler for a policy.

    Args:
        policy: Mode and ratio.
        from_environment: The sampler of `OTEL_TRACES_SAMPLER`. It takes precedence, and all that it samples is kept.
    """
    if from_environment is not None:
        description = f"by OTEL_TRACES_SAMPLER ({from_environment.get_description()})"
        return SamplerChoice(from_environment, False, rate_of(from_environment), description)
    if policy.mode == "tail":
        return SamplerChoice(RecordEverything(), True, 1.0, f"tail {policy.ratio:g}")
    if policy.mode == "head":
        rated = RatedSampler(policy.ratio)
        sampler = ParentBased(rated, remote_parent_sampled=UndecidedParent(rated))
        return SamplerChoice(sampler, False, policy.ratio, f"head {policy.ratio:g}")
    return SamplerChoice(ParentBased(ALWAYS_ON), False, 1.0, "always")


def rate_of(sampler: Sampler) -> float:
    """Return the fraction of local traces that a sampler samples, read from its description; 1 if that names none."""
    description = sampler.get_description()
    _, named, rest = description.partition("TraceIdRatioBased{")
    if named:
        try:
            return float(rest.partition("}")[0])
        except ValueError:
            return 1.0
    return 0.0 if "AlwaysOff" in description.partition(",")[0] else 1.0


class RecordEverything(Sampler):
    """Records every span for limits and metrics. It samples a span unless its parent is not sampled.

    Traces that start here are marked as sampled until the tail sampler decides, so called services sample them as well.
    """

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Record, and sample unless the parent is not."""
        parent = trace.get_current_span(parent_context).get_span_context()
        if parent.is_valid and not parent.trace_flags.sampled:
            return SamplingResult(Decision.RECORD_ONLY, attributes, parent.trace_state)
        state = parent.trace_state if parent.is_valid else None
        return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes, state)

    def get_description(self) -> str:
        """Return the sampler's description."""
        return "RecordEverything"


class UndecidedParent(Sampler):
    """Follows the caller's decision to sample. Without a decision of the caller, another sampler decides.

    Args:
        sampler: Decides if the caller has not.
    """

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Follow the caller, or decide if the caller has not."""
        sampler = self._sampler if get_value(UNDECIDED, parent_context) else ALWAYS_ON
        return sampler.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)

    def get_description(self) -> str:
        """Return the sampler's description."""
        return f"UndecidedParent{{{self._sampler.get_description()}}}"


class RatedSampler(TraceIdRatioBased):
    """The SDK's trace-id ratio sampler. It records the rate on sampled spans, so that counts can be scaled."""

    def __init__(self, rate: float) -> None:
        super().__init__(rate)
        self._marks: dict[str, str | float] = {
            semconv.SAMPLING_RATE: rate,
            semconv.SAMPLING_REASON: "ratio",
        }

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Sample by the ratio, and record it on the span."""
        result = super().should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)
        if result.decision is Decision.RECORD_AND_SAMPLE:
            return SamplingResult(result.decision, {**(attributes or {}), **self._marks}, result.trace_state)
        return result
