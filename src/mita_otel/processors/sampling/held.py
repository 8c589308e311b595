"""Holds spans until their trace is decided, within bounds on traces, spans, bytes and age."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from mita_otel.policy.sampling import SamplingPolicy
from mita_otel.processors.sampling.consistent import Randomness, randomness_of
from mita_otel.processors.sampling.decision import Caller, Decision, Evidence, Flaw, SamplingMatch, decide

T = TypeVar("T")

_EXPIRE_EVERY_S: Final = 0.2
"""Seconds between two searches for traces that were held too long, while spans arrive."""


@dataclass(slots=True)
class EndedSpan(Generic[T]):
    """A finished span, with its evidence about the trace."""

    trace_id: int
    span: T
    size: int
    """Bytes, estimated."""
    is_root: bool
    """Whether it is the trace's local root: it has no parent in this process."""
    member: str | None = None
    """The `ot` member of its tracestate."""
    flaw: Flaw | None = None
    match: SamplingMatch | None = None
    caller: Caller = "undecided"

    @property
    def randomness(self) -> Randomness:
        """The randomness for a consistent decision."""
        return randomness_of(self.trace_id, self.member)


@dataclass(frozen=True, slots=True)
class KeptSpans(Generic[T]):
    """Spans to pass on, with the decision to keep them."""

    decision: Decision
    spans: list[T]


@dataclass(slots=True)
class _Trace(Generic[T]):
    """The finished spans of a trace."""

    evidence: Evidence
    since_s: float
    """Since when it is undecided; after a decision against it, since its last span."""
    spans: list[T]
    size: int = 0
    decided_s: float = 0.0
    counted: bool = False
    """Whether it was counted as dropped by `drain`."""
    counted_spans: int = 0


class HeldTraces(Generic[T]):
    """Holds spans until their trace is decided, and remembers decisions for those that end later.

    A trace is decided when a local root ends, or at once if one of its spans is slow or failed. If it is held too long,
    or a bound is reached, its ratio decides early. An unsampled trace is held for `hold_s`: if a span that ends later
    is slow or failed, the whole trace is kept. Not thread-safe.

    Args:
        policy: The ratio and the bounds.
        step: Called after each trace that has expired, so that a background thread can pause; see `Slices.step`.
    """

    def __init__(self, policy: SamplingPolicy, step: Callable[[], None] = lambda: None) -> None:
        self._step = step
        self._policy = policy
        self._max_traces = policy.max_traces
        self._max_spans = policy.max_spans
        self._max_bytes = int(policy.max_megabytes * 1_000_000)
        self.reset()

    def reset(self) -> None:
        """Discard everything. A forked child starts empty, since its parent sends the held spans."""
        self.traces: Counter[tuple[bool, str]] = Counter()
        """Traces by whether they were kept and why. A trace is counted when its decision is final."""
        self.spans: Counter[bool] = Counter()
        """Spans by whether they were kept."""
        self.early = 0
        """Traces that were decided before their end because a bound was reached."""
        self._waiting: OrderedDict[int, _Trace[T]] = OrderedDict()
        self._rejected: OrderedDict[int, _Trace[T]] = OrderedDict()
        self._decisions: OrderedDict[int, Decision] = OrderedDict()
        self.held_spans = 0
        self.held_bytes = 0
        self._expire_at_s = 0.0

    @property
    def held_traces(self) -> int:
        """Traces that have held spans now."""
        return len(self._waiting) + len(self._rejected)

    def add(self, ended: EndedSpan[T], now_s: float) -> list[KeptSpans[T]]:
        """Add a finished span, and return the spans to pass on."""
        kept = self._expire_regularly(now_s)
        decision = self._decisions.get(ended.trace_id)
        if decision is None:
            self._undecided(ended, now_s, kept)
        else:
            self._decisions.move_to_end(ended.trace_id)
            self._late(ended, decision, now_s, kept)
        if self._is_full:
            self._enforce_bounds(kept)
        return kept

    def refuse(self, now_s: float, *, is_root: bool) -> list[KeptSpans[T]]:
        """Count a span as dropped by its caller's decision, and return the spans to pass on."""
        self.spans[False] += 1
        if is_root:
            self.traces[False, "caller"] += 1
        return self._expire_regularly(now_s)

    def expire(self, now_s: float) -> list[KeptSpans[T]]:
        """Decide traces that were held too long, and drop unsampled traces after `hold_s`."""
        kept: list[KeptSpans[T]] = []
        while self._waiting:
            trace_id, trace = next(iter(self._waiting.items()))
            if now_s - trace.since_s < self._policy.max_wait_s:
                break
            self._decide(trace_id, trace, now_s, kept)
            self._step()
        while self._rejected:
            trace_id, trace = next(iter(self._rejected.items()))
            if now_s - trace.since_s < self._policy.hold_s:
                break
            self._drop(trace_id)
            self._step()
        return kept

    def _expire_regularly(self, now_s: float) -> list[KeptSpans[T]]:
        """Call `expire`, at most every `_EXPIRE_EVERY_S` seconds."""
        if now_s < self._expire_at_s:
            return []
        self._expire_at_s = now_s + _EXPIRE_EVERY_S
        return self.expire(now_s)

    def drain(self) -> list[KeptSpans[T]]:
        """Decide every undecided trace, since the process may be about to end.

        Unsampled traces are counted as dropped but still held: a server may finish its requests, and a slow or failed
        span that ends later still keeps its trace.
        """
        kept: list[KeptSpans[T]] = []
        for trace_id, trace in list(self._waiting.items()):
            self._decide(trace_id, trace, trace.since_s, kept)
        for trace_id, trace in self._rejected.items():
            self._count_dropped(trace_id, trace)
        return kept

    def close(self) -> list[KeptSpans[T]]:
        """Decide every undecided trace, and drop all unsampled traces."""
        kept = self.drain()
        for trace_id in list(self._rejected):
            self._drop(trace_id)
        return kept

    def _undecided(self, ended: EndedSpan[T], now_s: float, kept: list[KeptSpans[T]]) -> None:
        trace = self._waiting.get(ended.trace_id)
        if trace is None:
            # The decision may have been evicted while the unsampled trace is still held.
            trace = self._rejected.pop(ended.trace_id, None) or _Trace(Evidence(ended.randomness), now_s, [])
            trace.since_s = now_s
            self._waiting[ended.trace_id] = trace
        if ended.flaw is not None or ended.match is not None or ended.caller != "undecided":
            trace.evidence = trace.evidence.joined(ended.flaw, ended.match, ended.caller)
        self._hold(trace, ended)
        if ended.is_root or trace.evidence.flaw is not None:
            self._decide(ended.trace_id, trace, now_s, kept)

    def _late(self, ended: EndedSpan[T], decision: Decision, now_s: float, kept: list[KeptSpans[T]]) -> None:
        """Apply the trace's decision to a late span, unless the span is slow or failed, or a rule keeps it."""
        if self._changes(ended, decision):
            self._decisions.pop(ended.trace_id)
            trace = self._rejected.pop(ended.trace_id, None) or _Trace(Evidence(ended.randomness), now_s, [])
            trace.evidence = trace.evidence.joined(ended.flaw, ended.match)
            self._hold(trace, ended)
            self._decide(ended.trace_id, trace, now_s, kept, counted=decision.kept)
        elif decision.kept:
            self.spans[True] += 1
            kept.append(KeptSpans(decision, [ended.span]))
        elif (rejected := self._rejected.get(ended.trace_id)) is not None:
            self._hold(rejected, ended)
            # New spans extend the time for which the trace is held, up to `max_wait_s`.
            if now_s - rejected.decided_s < self._policy.max_wait_s:
                rejected.since_s = now_s
                self._rejected.move_to_end(ended.trace_id)
        else:
            self.spans[False] += 1

    def _changes(self, ended: EndedSpan[T], decision: Decision) -> bool:
        if ended.flaw is not None:
            return decision.reason not in ("breach", "error")
        if ended.match is None or decision.kept or decision.reason == "caller":
            return False
        return decide(Evidence(ended.randomness, match=ended.match), self._policy.ratio).kept

    def _decide(
        self,
        trace_id: int,
        trace: _Trace[T],
        now_s: float,
        kept: list[KeptSpans[T]],
        *,
        counted: bool = False,
    ) -> None:
        self._waiting.pop(trace_id, None)
        decision = decide(trace.evidence, self._policy.ratio)
        self._decisions[trace_id] = decision
        while len(self._decisions) > self._policy.max_decisions:
            self._decisions.popitem(last=False)
        if decision.kept:
            self._release(trace)
            self.spans[True] += len(trace.spans)
            if not counted:
                self.traces[True, decision.reason] += 1
            kept.append(KeptSpans(decision, trace.spans))
        else:
            trace.since_s = trace.decided_s = now_s
            self._rejected[trace_id] = trace

    def _drop(self, trace_id: int) -> None:
        trace = self._rejected.pop(trace_id)
        self._release(trace)
        self._count_dropped(trace_id, trace)

    def _count_dropped(self, trace_id: int, trace: _Trace[T]) -> None:
        self.spans[False] += len(trace.spans) - trace.counted_spans
        trace.counted_spans = len(trace.spans)
        if not trace.counted:
            trace.counted = True
            decision = self._decisions.get(trace_id)
            self.traces[False, decision.reason if decision is not None else "ratio"] += 1

    def _enforce_bounds(self, kept: list[KeptSpans[T]]) -> None:
        """Drop unsampled traces, then decide the oldest ones early, until all bounds are respected."""
        while self._is_full:
            if self._rejected:
                self._drop(next(iter(self._rejected)))
                continue
            trace_id, trace = next(iter(self._waiting.items()))
            self.early += 1
            self._decide(trace_id, trace, trace.since_s, kept)

    @property
    def _is_full(self) -> bool:
        return (
            self.held_spans > self._max_spans
            or self.held_bytes > self._max_bytes
            or len(self._waiting) + len(self._rejected) > self._max_traces
        )

    def _hold(self, trace: _Trace[T], ended: EndedSpan[T]) -> None:
        trace.spans.append(ended.span)
        trace.size += ended.size
        self.held_spans += 1
        self.held_bytes += ended.size

    def _release(self, trace: _Trace[T]) -> None:
        self.held_spans -= len(trace.spans)
        self.held_bytes -= trace.size
