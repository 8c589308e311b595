"""Traces are held within bounds; every span is kept, dropped or held exactly once."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exploring import examples
from mita_otel.policy import default_policy
from mita_otel.processors.sampling.consistent import Randomness, threshold_of
from mita_otel.processors.sampling.decision import Decision, Evidence, SamplingMatch, decide
from mita_otel.processors.sampling.held import EndedSpan, HeldTraces, KeptSpans

POLICY = default_policy().sampling
KEPT_BY_RATIO = 0xFF_FFFFFFFFFFFF
"""A trace id whose random bits pass every threshold."""
NOT_KEPT = 1


@dataclass
class Bench:
    """Held traces, a clock, and the spans that were passed on."""

    held: HeldTraces[str]
    now_s: float = 1000.0
    out: list[tuple[str, Decision]] = field(default_factory=list)

    def end(self, trace_id: int, span: str, *, root: bool = False, size: int = 1000, **more: Any) -> None:
        ended = EndedSpan(trace_id, span, size, root, **more)
        self.take(self.held.add(ended, self.now_s))

    def take(self, kept: Any) -> None:
        for one in kept:
            self.out.extend((span, one.decision) for span in one.spans)

    def wait(self, seconds: float) -> None:
        self.now_s += seconds
        self.take(self.held.expire(self.now_s))

    @property
    def spans(self) -> list[str]:
        return [span for span, _ in self.out]

    @property
    def empty(self) -> bool:
        return (self.held.held_traces, self.held.held_spans, self.held.held_bytes) == (0, 0, 0)


def bench(**changed: Any) -> Bench:
    return Bench(HeldTraces(POLICY.replace(**changed)))


def test_a_healthy_trace_waits_for_its_root_and_follows_its_ratio() -> None:
    kept, dropped = bench(), bench()
    for one, trace_id in ((kept, KEPT_BY_RATIO), (dropped, NOT_KEPT)):
        one.end(trace_id, "child")
        assert one.out == []
        one.end(trace_id, "root", root=True)
    assert kept.spans == ["child", "root"]
    assert {decision.reason for _, decision in kept.out} == {"ratio"}
    assert kept.out[0][1].rate == pytest.approx(0.1)
    dropped.wait(POLICY.hold_s)
    assert dropped.out == [] and dropped.empty
    assert (kept.held.traces, dropped.held.traces) == (
        Counter({(True, "ratio"): 1}),
        Counter({(False, "ratio"): 1}),
    )
    assert (kept.held.spans[True], dropped.held.spans[False]) == (2, 2)


@pytest.mark.parametrize("flaw", ["breach", "error"])
def test_a_flaw_keeps_the_trace_at_once_with_its_later_spans(flaw: Any) -> None:
    one = bench()
    one.end(NOT_KEPT, "first")
    one.end(NOT_KEPT, "slow", flaw=flaw)
    assert one.spans == ["first", "slow"] and one.empty
    one.end(NOT_KEPT, "after")
    one.end(NOT_KEPT, "root", root=True)
    assert one.spans == ["first", "slow", "after", "root"]
    assert {(decision.reason, decision.rate) for _, decision in one.out} == {(flaw, 1.0)}
    assert one.held.traces == {(True, flaw): 1}


def test_a_late_flaw_keeps_a_held_unsampled_trace() -> None:
    one = bench()
    one.end(NOT_KEPT, "child")
    one.end(NOT_KEPT, "root", root=True)
    one.wait(POLICY.hold_s - 1)
    one.end(NOT_KEPT, "a healthy late child")
    one.wait(POLICY.hold_s - 1)
    one.end(NOT_KEPT, "background task", flaw="error")
    assert one.spans == ["child", "root", "a healthy late child", "background task"] and one.empty
    assert one.held.traces == {(True, "error"): 1}, "it was never final"


def test_a_flaw_after_the_trace_was_dropped_keeps_its_span_and_later_ones() -> None:
    one = bench()
    one.end(NOT_KEPT, "root", root=True)
    one.wait(POLICY.hold_s)
    one.end(NOT_KEPT, "healthy")
    one.end(NOT_KEPT, "failed", flaw="error")
    one.end(NOT_KEPT, "after")
    assert one.spans == ["failed", "after"]


def test_a_late_flaw_in_a_trace_kept_by_its_ratio_raises_the_rate() -> None:
    one = bench()
    one.end(KEPT_BY_RATIO, "inner root", root=True)
    one.end(KEPT_BY_RATIO, "outer root", root=True, flaw="breach")
    assert [decision.rate for _, decision in one.out] == [pytest.approx(0.1), 1.0]
    assert one.held.traces == {(True, "ratio"): 1}


def test_a_flaw_in_a_second_local_root_keeps_the_spans_of_the_first() -> None:
    """A service that calls itself has two local roots in one trace."""
    one = bench()
    one.end(NOT_KEPT, "inner child")
    one.end(NOT_KEPT, "inner root", root=True)
    one.end(NOT_KEPT, "outer child")
    one.end(NOT_KEPT, "outer root", root=True, flaw="breach")
    assert one.spans == ["inner child", "inner root", "outer child", "outer root"]


def test_a_trace_is_held_for_a_bounded_time() -> None:
    one = bench()
    one.end(NOT_KEPT, "root", root=True)
    for number in range(60):
        one.wait(POLICY.hold_s / 2)
        one.end(NOT_KEPT, str(number))
    assert one.held.held_spans == 0
    assert one.held.spans[False] == 61
    one.end(NOT_KEPT, "failed", flaw="error")
    assert one.spans == ["failed"]


def test_a_trace_without_an_end_is_decided_by_its_ratio() -> None:
    one = bench()
    one.end(KEPT_BY_RATIO, "chunk 1")
    one.end(NOT_KEPT, "chunk 1 of another")
    one.wait(POLICY.max_wait_s - 1)
    assert one.out == []
    one.wait(1)
    assert one.spans == ["chunk 1"]
    one.end(KEPT_BY_RATIO, "chunk 2")
    one.end(NOT_KEPT, "chunk 2 of another")
    assert one.spans == ["chunk 1", "chunk 2"]
    one.end(NOT_KEPT, "the end, failed", root=True, flaw="error")
    assert one.spans[2:] == ["chunk 1 of another", "chunk 2 of another", "the end, failed"]


@pytest.mark.parametrize(
    "bound", [{"max_spans": 5}, {"max_traces": 5}, {"max_megabytes": 0.005}], ids=["spans", "traces", "bytes"]
)
def test_at_a_bound_unsampled_traces_are_dropped_first_then_the_oldest_is_decided_early(
    bound: dict[str, Any],
) -> None:
    one = bench(**bound)
    for number in range(4):
        one.end(0x100 + number, f"held {number}", root=True)
    one.end(KEPT_BY_RATIO, "waiting, passes")
    one.end(NOT_KEPT, "waiting, does not")
    assert one.out == [] and one.held.early == 0
    assert one.held.held_traces == 5, "one that lingered is gone"
    for number in range(10):
        one.end(0x200 + number, f"more {number}")
    assert one.spans == ["waiting, passes"]
    assert one.held.early == 7
    assert one.held.held_spans <= 5
    one.end(NOT_KEPT, "its root, slow", root=True, flaw="breach")
    assert one.spans[-1] == "its root, slow"


def test_a_trace_larger_than_the_bound_is_decided_early() -> None:
    one = bench(max_spans=10)
    for number in range(100):
        one.end(KEPT_BY_RATIO, str(number))
    assert one.spans == [str(number) for number in range(100)]
    assert one.held.early == 1


def test_a_rule_sets_the_ratio_of_its_traces() -> None:
    one = bench()
    match = SamplingMatch("payments", 1.0)
    one.end(NOT_KEPT, "payment", match=match)
    one.end(NOT_KEPT, "root", root=True)
    assert [(span, decision.reason, decision.rule, decision.rate) for span, decision in one.out] == [
        ("payment", "rule", "payments", 1.0),
        ("root", "rule", "payments", 1.0),
    ]
    one.end(KEPT_BY_RATIO, "GET /health", root=True, match=SamplingMatch("health", 0.0))
    one.wait(POLICY.hold_s)
    assert len(one.out) == 2
    assert one.held.traces == {(True, "rule"): 1, (False, "rule"): 1}


def test_a_late_span_that_a_rule_keeps_also_keeps_its_trace() -> None:
    one = bench()
    one.end(NOT_KEPT, "root", root=True)
    one.end(NOT_KEPT, "a rule that drops", match=SamplingMatch("health", 0.0))
    assert one.out == []
    one.end(NOT_KEPT, "a rule that keeps", match=SamplingMatch("payments", 1.0))
    assert one.spans == ["root", "a rule that drops", "a rule that keeps"]
    assert one.out[0][1].rule == "payments"


def test_at_the_end_of_the_process_everything_is_decided() -> None:
    one = bench()
    one.end(KEPT_BY_RATIO, "waits, passes")
    one.end(NOT_KEPT, "waits, does not")
    one.end(0x300, "held", root=True)
    one.take(one.held.close())
    assert one.spans == ["waits, passes"] and one.empty
    one.end(KEPT_BY_RATIO, "the root, after all", root=True)
    assert one.spans == ["waits, passes", "the root, after all"]
    assert one.held.spans == {True: 2, False: 2}


def test_a_slow_request_that_ends_after_drain_is_kept_completely() -> None:
    one = bench()
    one.end(NOT_KEPT, "query")
    one.end(0x300, "another")
    one.take(one.held.drain())
    assert one.out == [] and one.held.spans == {False: 2}
    one.end(NOT_KEPT, "second query")
    one.end(NOT_KEPT, "the request, slow", root=True, flaw="breach")
    assert one.spans == ["query", "second query", "the request, slow"]
    one.end(0x300, "healthy root", root=True)
    one.take(one.held.close())
    assert one.empty
    assert one.held.traces == {(False, "ratio"): 2, (True, "breach"): 1}, "the one that came back is in both"


def test_a_forked_child_starts_empty_with_counts_of_zero() -> None:
    one = bench()
    one.end(NOT_KEPT, "root", root=True)
    one.end(KEPT_BY_RATIO, "root", root=True)
    one.held.reset()
    assert one.empty
    assert (one.held.traces, one.held.spans) == (Counter(), Counter())


def test_an_evicted_decision_of_a_held_trace_loses_no_span() -> None:
    one = bench(max_decisions=1)
    one.end(NOT_KEPT, "child")
    one.end(NOT_KEPT, "root", root=True)
    one.end(0x300, "another", root=True)
    one.end(NOT_KEPT, "late")
    one.end(NOT_KEPT, "second root", root=True)
    one.wait(POLICY.hold_s)
    assert one.empty
    assert one.held.spans[False] == 5


@pytest.mark.parametrize(
    ("evidence", "expected"),
    [
        (Evidence(Randomness(1)), (False, "ratio")),
        (Evidence(Randomness(threshold_of(0.1))), (True, "ratio")),
        (Evidence(Randomness(threshold_of(0.1) - 1)), (False, "ratio")),
        (Evidence(Randomness(1), caller="for"), (True, "caller")),
        (Evidence(Randomness(2**56 - 1), caller="against"), (False, "caller")),
        (Evidence(Randomness(1), caller="against", flaw="breach"), (True, "breach")),
        (Evidence(Randomness(1), match=SamplingMatch("a", 1.0)), (True, "rule")),
        (Evidence(Randomness(2**56 - 1), match=SamplingMatch("a", 0.0)), (False, "rule")),
        (Evidence(Randomness(1), match=SamplingMatch("a", 0.0), flaw="error"), (True, "error")),
    ],
)
def test_each_combination_of_caller_and_trace_has_its_decision(
    evidence: Evidence, expected: tuple[bool, str]
) -> None:
    decision = decide(evidence, 0.1)
    assert (decision.kept, decision.reason) == expected


@pytest.mark.parametrize(
    ("caller_ratio", "evidence", "rate"),
    [
        (0.05, {}, 0.05),
        (0.5, {}, 0.1),
        (0.5, {"flaw": "breach"}, 0.5),
        (0.5, {"match": SamplingMatch("a", 0.2)}, 0.2),
    ],
)
def test_the_rate_includes_the_ratio_of_the_caller(
    caller_ratio: float, evidence: dict[str, Any], rate: float
) -> None:
    randomness = Randomness(2**56 - 1, threshold_of(caller_ratio))
    decision = decide(Evidence(randomness, **evidence), 0.1)
    assert decision.kept
    assert decision.rate == pytest.approx(rate)


_EVENTS = st.lists(
    st.tuples(
        st.integers(0, 11),  # which trace
        st.booleans(),  # root
        st.sampled_from([None, None, None, "breach", "error"]),
        st.integers(0, 30),  # seconds before it
        st.integers(100, 3000),  # bytes
    ),
    max_size=120,
)


@settings(max_examples=examples(200))
@given(_EVENTS, st.integers(1, 12), st.integers(1, 30), st.integers(1, 20))
def test_every_span_is_counted_for_any_order_of_ends(
    events: list[tuple[int, bool, Any, int, int]], max_traces: int, max_spans: int, max_decisions: int
) -> None:
    one = bench(
        max_traces=max_traces,
        max_spans=max_spans,
        max_decisions=max_decisions,
        max_megabytes=0.02,
        max_wait_s=60,
    )
    ids = [number * 0x1234567_89ABCDEF % 2**128 for number in range(1, 13)]
    flawed: list[str] = []
    for number, (trace, root, flaw, seconds, size) in enumerate(events):
        one.now_s += seconds
        one.end(ids[trace], str(number), root=root, flaw=flaw, size=size)
        if flaw:
            flawed.append(str(number))
        assert one.held.held_traces <= max_traces
        assert one.held.held_spans <= max_spans
        assert one.held.held_bytes <= 20_000
        arrived = one.held.spans[True] + one.held.spans[False] + one.held.held_spans
        assert arrived == number + 1
    one.take(one.held.close())
    assert one.empty
    assert len(set(one.spans)) == len(one.spans) == one.held.spans[True], "no span twice"
    assert set(flawed) <= set(one.spans), "whatever is slow or failed is kept"


def test_a_kept_group_is_one_decision() -> None:
    held: HeldTraces[str] = HeldTraces(POLICY)
    held.add(EndedSpan(KEPT_BY_RATIO, "a", 1, False), 0)
    [kept] = held.add(EndedSpan(KEPT_BY_RATIO, "b", 1, True), 0)
    assert kept == KeptSpans(Decision(True, "ratio", threshold_of(0.1)), ["a", "b"])
