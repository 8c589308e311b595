"""The section of a policy that says which traces are kept, and how much may wait for the decision."""

from typing import Annotated, Literal

from mita_otel.policy.section import Bounds, PositiveInt, Seconds, Section

Ratio = Annotated[float, Bounds(ge=0, le=1)]
Pattern = Annotated[str, Bounds(min_length=1, max_length=256)]


class SamplingRule(Section):
    """What makes a trace special. Everything that a rule names must be true of one span of the trace."""

    ratio: Ratio = 1.0
    """The share of these traces that is kept. 1: all of them; 0: only what is slow or failed."""
    operation: Pattern | None = None
    """A financial operation's name. `*` stands for anything."""
    route: Pattern | None = None
    """`METHOD /route/{template}` of a request. `*` stands for anything."""
    attributes: dict[str, Pattern] = {}  # noqa: RUF012 - a default, never changed
    """Attributes and their values as text. `*` stands for anything, also for being there at all."""
    longer_than_ms: Annotated[float, Bounds(ge=0)] | None = None
    """Milliseconds that the span took, at least."""
    above_percentile: Annotated[float, Bounds(gt=0, lt=100)] | None = None
    """The span took longer than this percentile of its operation's recent durations."""

    def check(self) -> None:
        """Require a condition."""
        conditions = (self.operation, self.route, self.longer_than_ms, self.above_percentile)
        if not self.attributes and all(one is None for one in conditions):
            raise ValueError(
                "the rule matches every trace; give it an operation, a route, attributes, longer_than_ms or "
                "above_percentile, or set sampling.ratio for all"
            )


class SamplingPolicy(Section):
    """Which traces are kept."""

    mode: Literal["tail", "head", "always"]
    """`tail`: decide when the trace has ended, and keep everything slow or failed. `head`: decide when it starts.
    `always`: keep everything."""
    ratio: Ratio
    """The share of the traces that nothing is wrong with."""
    remote_unsampled: Literal["respect", "keep_breaches"]
    """When a caller decided against a trace: `respect` that, or keep our part if it is slow or failed."""
    remote_sampled: Literal["decide", "keep"]
    """When a caller's trace arrives sampled: `decide` at its end like any other, or `keep` it. A caller that
    decides at the end as well sends every trace as sampled."""
    rules: dict[str, SamplingRule]
    """Traces with another ratio, by a name of your choice. Of several that match, the highest ratio applies."""
    max_traces: PositiveInt
    """Traces that may wait for their end. One more, and the oldest is decided by its ratio."""
    max_spans: PositiveInt
    """Finished spans that may wait, all traces together."""
    max_megabytes: Annotated[float, Bounds(gt=0)]
    """Estimated size of the spans that wait, all traces together."""
    max_wait_s: Seconds
    """Seconds after which a trace that has not ended is decided by its ratio."""
    linger_s: Annotated[float, Bounds(ge=0, le=3600)]
    """Seconds that a trace decided against is still held: a late child (a background task) may be slow or fail."""
    max_decisions: PositiveInt
    """Decisions that are remembered for late spans."""
