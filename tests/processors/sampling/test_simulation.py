"""10,000 simulated traces: no slow or failed trace is lost, and memory is bounded."""

from __future__ import annotations

import math
import tracemalloc

import pytest
from benchmarks.sampling_simulation import QUERY, Outcome, Traffic, simulate
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.trace import SpanKind, set_span_in_context

from mita_otel.policy import default_policy
from mita_otel.processors.samplers import RecordEverything
from mita_otel.processors.tail_sampling import TailSampler

POLICY = default_policy().sampling


@pytest.fixture(scope="module")
def outcome() -> Outcome:
    return simulate(Traffic(10_000, per_second=400, slow=0.01, failed=0.01, seed=2026))


def within_its_confidence_interval(kept: int, of: int, ratio: float) -> bool:
    """Return whether a count is within 99.99 % of the binomial distribution (3.89 standard deviations)."""
    return abs(kept - of * ratio) <= 3.89 * math.sqrt(of * ratio * (1 - ratio))


def test_every_slow_and_every_failed_trace_is_kept_with_all_its_spans(outcome: Outcome) -> None:
    for truth in ("slow", "failed"):
        number = len(outcome.traces(truth))
        assert 50 < number < 200
        assert outcome.kept(truth) == outcome.complete(truth) == number, truth
    assert outcome.flawed_kept == outcome.flawed > 100


def test_the_kept_fraction_of_healthy_traces_is_the_policys_ratio(outcome: Outcome) -> None:
    kept, number = outcome.kept("healthy"), len(outcome.traces("healthy"))
    assert outcome.complete("healthy") == kept, "whole traces, or nothing of them"
    assert within_its_confidence_interval(kept, number, POLICY.ratio)


def test_held_spans_stay_within_their_bounds(outcome: Outcome) -> None:
    assert 0 < outcome.most_spans <= POLICY.max_spans
    assert outcome.most_bytes <= POLICY.max_megabytes * 1_000_000
    assert outcome.most_traces <= POLICY.max_traces
    held = outcome.sampler.held
    assert (held.held_traces, held.held_spans, held.held_bytes, held.early) == (0, 0, 0, 0)


def test_every_span_is_counted(outcome: Outcome) -> None:
    held, total = outcome.sampler.held, sum(outcome.traffic.sizes.values())
    assert held.spans[True] == sum(outcome.spans.values())
    assert held.spans[True] + held.spans[False] == total > 25_000
    assert sum(held.traces.values()) == 10_000


def test_under_overload_the_ratio_decides_early_and_slow_or_failed_spans_are_kept(
    caplog: pytest.LogCaptureFixture,
) -> None:
    narrow = POLICY.replace(max_spans=40, max_traces=30, max_megabytes=0.1)
    outcome = simulate(Traffic(5_000, per_second=8000, slow=0.02, failed=0.02, seed=7), narrow)
    assert outcome.sampler.held.early > 500
    assert outcome.most_spans <= 40 and outcome.most_traces <= 30 and outcome.most_bytes <= 100_000
    assert outcome.flawed_kept == outcome.flawed > 150, "each span that is slow or failed"
    assert within_its_confidence_interval(
        outcome.kept("healthy"), len(outcome.traces("healthy")), POLICY.ratio
    )
    assert "tail sampling has reached a bound" in caplog.text


def test_the_memory_estimate_is_close_to_the_measured_size() -> None:
    class Nothing(SpanProcessor):
        """Accepts spans and stores none."""

    sampler = TailSampler(POLICY, Nothing())
    provider = TracerProvider(sampler=RecordEverything(), shutdown_on_exit=False)
    provider.add_span_processor(sampler)
    tracer = provider.get_tracer("t")
    root = tracer.start_span("root")
    context = set_span_in_context(root)
    tracemalloc.start()
    try:
        for number in range(2000):
            attributes = {**QUERY, "db.query.text": f"SELECT id, balance FROM accounts WHERE id = {number}"}
            tracer.start_span("SELECT accounts", context, SpanKind.CLIENT, attributes).end()
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sampler.held.held_spans == 2000
    assert used / 2 <= sampler.held.held_bytes <= used * 2, f"{used / 2000:.0f} bytes a span"
