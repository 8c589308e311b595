"""Spans that wait for the decision about their trace: bounded in traces, spans, bytes and age."""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from mita_otel.policy.sampling import SamplingPolicy
from mita_otel.processors.sampling.consistent import Randomness, randomness_of
from mita_otel.processors.sampling.decision import Caller, Clues, Decision, Flaw, Match, decide

T = TypeVar("T")

_LOOK_EVERY_S: Final = 0.2
"""How often, while spans arrive, it is looked for what has waited too long."""


@dataclass(slots=True)
class Arrival(Generic[T]):
    """A span that has ended, and what it says of its trace."""

    trace_id: int
    span: T
    size: int
    """Bytes, estimated."""
    is_root: bool
    """Whether the trace has no span above it in this process."""
    member: str | None = None
    """The `ot` member of its tracestate."""
    flaw: Flaw | None = None
    match: Match | None = None
    caller: Caller = "undecided"

    @property
    def randomness(self) -> Randomness:
        """What a consistent decision is made from."""
        return randomness_of(self.trace_id, self.member)


@dataclass(frozen=True, slots=True)
class Kept(Generic[T]):
    """Spans to pass on, and why."""

    decision: Decision
    spans: list[T]


@dataclass(slots=True)
class _Trace(Generic[T]):
    """The spans of a trace, as far as they have ended."""

    clues: Clues
    since_s: float
    """Since when it waits, or lingers without a span."""
    spans: list[T]
    size: int = 0
    decided_s: float = 0.0
    counted: bool = False
    """Whether it was counted as dropped, since the process was about to end."""
    counted_spans: int = 0


class HeldTraces(Generic[T]):
    """Holds spans until their trace is decided, and remembers decisions for those that end later.

    A trace is decided when a local root ends, at once when something is wrong with it, and early, by its
    ratio, when it has waited too long or there is no room. One that was decided against lingers for a while:
    if a span that ends later is slow or failed, what lingers is kept after all. Not thread-safe.

    Args:
        policy: The ratio, and the bounds.
    """

    def __init__(self, policy: SamplingPolicy) -> None:
        self._policy = policy
        self._max_traces = policy.max_traces
        self._max_spans = policy.max_spans
        self._max_bytes = int(policy.max_megabytes * 1_000_000)
        self.reset()

    def reset(self) -> None:
        """Forget everything: a forked child starts empty, since what is held is its parent's to send."""
        self.traces: Counter[tuple[bool, str]] = Counter()
        """Traces by whether they were kept and why. One is counted once it is final."""
        self.spans: Counter[bool] = Counter()
        """Spans by whether they were kept."""
        self.early = 0
        """Traces that were decided before their end for want of room."""
        self._waiting: OrderedDict[int, _Trace[T]] = OrderedDict()
        self._lingering: OrderedDict[int, _Trace[T]] = OrderedDict()
        self._decisions: OrderedDict[int, Decision] = OrderedDict()
        self.held_spans = 0
        self.held_bytes = 0
        self._look_at_s = 0.0

    @property
    def held_traces(self) -> int:
        """Traces of which spans are held now."""
        return len(self._waiting) + len(self._lingering)

    def add(self, arrival: Arrival[T], now_s: float) -> list[Kept[T]]:
        """Take a span that has ended; return what is to be passed on."""
        kept = self._expire_at_times(now_s)
        decision = self._decisions.get(arrival.trace_id)
        if decision is None:
            self._undecided(arrival, now_s, kept)
        else:
            self._decisions.move_to_end(arrival.trace_id)
            self._late(arrival, decision, now_s, kept)
        if self._is_full:
            self._make_room(kept)
        return kept

    def refuse(self, now_s: float, *, is_root: bool) -> list[Kept[T]]:
        """Count a span whose caller's decision against its trace is respected; return what has waited too long."""
        self.spans[False] += 1
        if is_root:
            self.traces[False, "caller"] += 1
        return self._expire_at_times(now_s)

    def expire(self, now_s: float) -> list[Kept[T]]:
        """Decide what has waited too long, and drop what has lingered long enough."""
        kept: list[Kept[T]] = []
        while self._waiting:
            trace_id, trace = next(iter(self._waiting.items()))
            if now_s - trace.since_s < self._policy.max_wait_s:
                break
            self._decide(trace_id, trace, now_s, kept)
        while self._lingering:
            trace_id, trace = next(iter(self._lingering.items()))
            if now_s - trace.since_s < self._policy.linger_s:
                break
            self._drop(trace_id)
        return kept

    def _expire_at_times(self, now_s: float) -> list[Kept[T]]:
        """Look for what has waited too long, if the last look is some time ago."""
        if now_s < self._look_at_s:
            return []
        self._look_at_s = now_s + _LOOK_EVERY_S
        return self.expire(now_s)

    def drain(self) -> list[Kept[T]]:
        """Decide everything that waits, since the process may be about to end.

        What is decided against is counted as dropped, and still lingers: if the process goes on for a while (a server
        that finishes its requests), a span that ends slow or failed brings it back.
        """
        kept: list[Kept[T]] = []
        for trace_id, trace in list(self._waiting.items()):
            self._decide(trace_id, trace, trace.since_s, kept)
        for trace_id, trace in self._lingering.items():
            self._count_dropped(trace_id, trace)
        return kept

    def close(self) -> list[Kept[T]]:
        """Decide everything that waits, and drop what lingers: the end."""
        kept = self.drain()
        for trace_id in list(self._lingering):
            self._drop(trace_id)
        return kept

    def _undecided(self, arrival: Arrival[T], now_s: float, kept: list[Kept[T]]) -> None:
        trace = self._waiting.get(arrival.trace_id)
        if trace is None:
            # Its decision may have been forgotten while it still lingers.
            trace = self._lingering.pop(arrival.trace_id, None) or _Trace(
                Clues(arrival.randomness), now_s, []
            )
            trace.since_s = now_s
            self._waiting[arrival.trace_id] = trace
        if arrival.flaw is not None or arrival.match is not None or arrival.caller != "undecided":
            trace.clues = trace.clues.joined(arrival.flaw, arrival.match, arrival.caller)
        self._hold(trace, arrival)
        if arrival.is_root or trace.clues.flaw is not None:
            self._decide(arrival.trace_id, trace, now_s, kept)

    def _late(self, arrival: Arrival[T], decision: Decision, now_s: float, kept: list[Kept[T]]) -> None:
        """Treat a span as its trace was, unless it is slow or failed, or a rule keeps it."""
        if self._changes(arrival, decision):
            self._decisions.pop(arrival.trace_id)
            trace = self._lingering.pop(arrival.trace_id, None) or _Trace(
                Clues(arrival.randomness), now_s, []
            )
            trace.clues = trace.clues.joined(arrival.flaw, arrival.match)
            self._hold(trace, arrival)
            self._decide(arrival.trace_id, trace, now_s, kept, counted=decision.kept)
        elif decision.kept:
            self.spans[True] += 1
            kept.append(Kept(decision, [arrival.span]))
        elif (lingering := self._lingering.get(arrival.trace_id)) is not None:
            self._hold(lingering, arrival)
            # It lingers on while spans keep coming, but not for ever.
            if now_s - lingering.decided_s < self._policy.max_wait_s:
                lingering.since_s = now_s
                self._lingering.move_to_end(arrival.trace_id)
        else:
            self.spans[False] += 1

    def _changes(self, arrival: Arrival[T], decision: Decision) -> bool:
        if arrival.flaw is not None:
            return decision.reason not in ("breach", "error")
        if arrival.match is None or decision.kept or decision.reason == "caller":
            return False
        return decide(Clues(arrival.randomness, match=arrival.match), self._policy.ratio).kept

    def _decide(
        self, trace_id: int, trace: _Trace[T], now_s: float, kept: list[Kept[T]], *, counted: bool = False
    ) -> None:
        self._waiting.pop(trace_id, None)
        decision = decide(trace.clues, self._policy.ratio)
        self._decisions[trace_id] = decision
        while len(self._decisions) > self._policy.max_decisions:
            self._decisions.popitem(last=False)
        if decision.kept:
            self._release(trace)
            self.spans[True] += len(trace.spans)
            if not counted:
                self.traces[True, decision.reason] += 1
            kept.append(Kept(decision, trace.spans))
        else:
            trace.since_s = trace.decided_s = now_s
            self._lingering[trace_id] = trace

    def _drop(self, trace_id: int) -> None:
        trace = self._lingering.pop(trace_id)
        self._release(trace)
        self._count_dropped(trace_id, trace)

    def _count_dropped(self, trace_id: int, trace: _Trace[T]) -> None:
        self.spans[False] += len(trace.spans) - trace.counted_spans
        trace.counted_spans = len(trace.spans)
        if not trace.counted:
            trace.counted = True
            decision = self._decisions.get(trace_id)
            self.traces[False, decision.reason if decision is not None else "ratio"] += 1

    def _make_room(self, kept: list[Kept[T]]) -> None:
        """Drop what lingers, then decide the oldest early, until the bounds are kept."""
        while self._is_full:
            if self._lingering:
                self._drop(next(iter(self._lingering)))
                continue
            trace_id, trace = next(iter(self._waiting.items()))
            self.early += 1
            self._decide(trace_id, trace, trace.since_s, kept)

    @property
    def _is_full(self) -> bool:
        return (
            self.held_spans > self._max_spans
            or self.held_bytes > self._max_bytes
            or len(self._waiting) + len(self._lingering) > self._max_traces
        )

    def _hold(self, trace: _Trace[T], arrival: Arrival[T]) -> None:
        trace.spans.append(arrival.span)
        trace.size += arrival.size
        self.held_spans += 1
        self.held_bytes += arrival.size

    def _release(self, trace: _Trace[T]) -> None:
        self.held_spans -= len(trace.spans)
        self.held_bytes -= trace.size
