"""What is decided when a span starts: nothing yet, everything, or a share of the traces."""

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
"""Where a propagator says in the context that the caller has left the decision to us, which a trace's flag cannot say."""


@dataclass(frozen=True, slots=True)
class SamplerChoice:
    """Who decides about traces."""

    sampler: Sampler
    tail: bool
    """Whether a `TailSampler` decides when a trace has ended."""
    rate: float
    """The share of spans that limits, metrics and summaries see."""
    description: str
    """For people, as in `tail 0.1`."""


def choose_sampler(policy: SamplingPolicy, from_environment: Sampler | None) -> SamplerChoice:
    """Return the sampler that the policy asks for.

    Args:
        policy: Mode and ratio.
        from_environment: What `OTEL_TRACES_SAMPLER` names. It keeps its meaning: what it samples is kept.
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
    """Return the share of traces that begin here and are sampled, as far as a sampler's description says it; else 1."""
    description = sampler.get_description()
    _, named, rest = description.partition("TraceIdRatioBased{")
    if named:
        try:
            return float(rest.partition("}")[0])
        except ValueError:
            return 1.0
    return 0.0 if "AlwaysOff" in description.partition(",")[0] else 1.0


class RecordEverything(Sampler):
    """Records every span, so that limits and metrics see it; sampled are those that no caller decided against.

    Traces that begin here are sampled for now: other services are told so, and decide for themselves.
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
        """Name the sampler."""
        return "RecordEverything"


class UndecidedParent(Sampler):
    """Samples what a caller has sampled; where it has left that to us, another sampler decides.

    Args:
        sampler: That other sampler.
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
        """Decide if nobody has."""
        sampler = self._sampler if get_value(UNDECIDED, parent_context) else ALWAYS_ON
        return sampler.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)

    def get_description(self) -> str:
        """Name the sampler."""
        return f"UndecidedParent{{{self._sampler.get_description()}}}"


class RatedSampler(TraceIdRatioBased):
    """The SDK's ratio of trace ids, with the rate as an attribute of the spans it samples, so that counts can be scaled."""

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
        """Sample by the ratio, and say so on the span."""
        result = super().should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)
        if result.decision is Decision.RECORD_AND_SAMPLE:
            return SamplingResult(result.decision, {**(attributes or {}), **self._marks}, result.trace_state)
        return result
