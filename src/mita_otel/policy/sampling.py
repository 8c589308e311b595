"""The section of a policy on sampling."""

from typing import Annotated, Literal

from mita_otel.policy.section import Bounds, PositiveInt, Seconds, Section

Ratio = Annotated[float, Bounds(ge=0, le=1)]
Pattern = Annotated[str, Bounds(min_length=1, max_length=256)]


class SamplingRule(Section):
    """Traces with another ratio. One span of the trace has to fit every condition of the rule."""

    ratio: Ratio = 1.0
    """Fraction of these traces to keep. 1: all; 0: only slow or failed traces."""
    operation: Pattern | None = None
    """A financial operation's name. `*` matches any text."""
    route: Pattern | None = None
    """`METHOD /route/{template}` of a request. `*` matches any text."""
    attributes: dict[str, Pattern] = {}  # noqa: RUF012 - a default, never changed
    """Attributes and their values as text. `*` matches any text, and any value."""
    longer_than_ms: Annotated[float, Bounds(ge=0)] | None = None
    """The span took at least this many milliseconds."""
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
    """Sampling of traces."""

    mode: Literal["tail", "head", "always"]
    """`tail`: decide when the trace ends, and keep every slow or failed trace. `head`: decide when it starts. `always`: keep
    every trace."""
    ratio: Ratio
    """Fraction of healthy traces to keep."""
    remote_unsampled: Literal["respect", "keep_breaches"]
    """When a caller decided against a trace: `respect` that, or keep our part if it is slow or failed."""
    remote_sampled: Literal["decide", "keep"]
    """When a caller's trace arrives sampled: `decide` at its end like any other, or `keep` it. A caller that
    decides at the end as well sends every trace as sampled."""
    rules: dict[str, SamplingRule]
    """Rules with another ratio, by a name of your choice. If several match, the highest ratio applies."""
    max_traces: PositiveInt
    """Traces that may wait for their end. Beyond that the oldest is decided by its ratio."""
    max_spans: PositiveInt
    """Finished spans that may wait, all traces together."""
    max_megabytes: Annotated[float, Bounds(gt=0)]
    """Estimated size of the spans that wait, all traces together."""
    max_wait_s: Seconds
    """Seconds after which a trace that has not ended is decided by its ratio."""
    hold_s: Annotated[float, Bounds(ge=0, le=3600)]
    """Seconds that an unsampled trace is still held: a late child (a background task) may be slow or fail."""
    max_decisions: PositiveInt
    """Decisions that are remembered for late spans."""
