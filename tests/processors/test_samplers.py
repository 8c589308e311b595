"""The sampler at span start: selected by the policy's mode, unless OTEL_TRACES_SAMPLER is set."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    DEFAULT_OFF,
    DEFAULT_ON,
    ParentBased,
    ParentBasedTraceIdRatio,
    Sampler,
    StaticSampler,
    TraceIdRatioBased,
)
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState

from mita_otel import semconv
from mita_otel.policy import default_policy
from mita_otel.processors.samplers import RecordEverything, choose_sampler, rate_of

POLICY = default_policy().sampling
LOW, HIGH = 1, 2**64 - 1
"""Trace ids that the SDK's ratio keeps and drops."""


def policy(**changed: Any) -> Any:
    return POLICY.replace(**changed)


def context(trace_id: int, *, sampled: bool, remote: bool = True) -> Any:
    state = TraceState([("vendor", "1")])
    parent = SpanContext(trace_id, 0xB, remote, TraceFlags(int(sampled)), state)
    return trace.set_span_in_context(NonRecordingSpan(parent))


@pytest.mark.parametrize(
    ("mode", "asked", "description", "tail", "rate"),
    [
        ("tail", None, "tail 0.1", True, 1.0),
        ("head", None, "head 0.1", False, 0.1),
        ("always", None, "always", False, 1.0),
        ("tail", ALWAYS_ON, "by OTEL_TRACES_SAMPLER (AlwaysOnSampler)", False, 1.0),
        (
            "head",
            TraceIdRatioBased(0.25),
            "by OTEL_TRACES_SAMPLER (TraceIdRatioBased{0.25})",
            False,
            0.25,
        ),
    ],
)
def test_the_policy_mode_selects_the_sampler_unless_the_variable_does(
    mode: str, asked: Sampler | None, description: str, tail: bool, rate: float
) -> None:
    choice = choose_sampler(policy(mode=mode), asked)
    assert (choice.description, choice.tail, choice.rate) == (description, tail, rate)
    if asked is not None:
        assert choice.sampler is asked


@pytest.mark.parametrize(
    ("sampler", "rate"),
    [
        (ParentBasedTraceIdRatio(0.125), 0.125),
        (DEFAULT_ON, 1.0),
        (DEFAULT_OFF, 0.0),
        (ALWAYS_OFF, 0.0),
        (RecordEverything(), 1.0),
    ],
)
def test_the_rate_is_read_from_a_samplers_description(sampler: Sampler, rate: float) -> None:
    assert rate_of(sampler) == rate


def test_a_sampler_with_an_unknown_description_has_rate_one() -> None:
    class Odd(StaticSampler):
        def get_description(self) -> str:
            return "TraceIdRatioBased{often}"

    assert rate_of(Odd(ALWAYS_ON._decision)) == 1.0  # type: ignore[attr-defined]


def test_tail_mode_records_everything_and_samples_unless_the_caller_did_not() -> None:
    sampler = RecordEverything()
    root = sampler.should_sample(None, HIGH, "x", attributes={"a": 1})
    called = sampler.should_sample(context(HIGH, sampled=True), HIGH, "x")
    refused = sampler.should_sample(context(LOW, sampled=False), LOW, "x")
    below = sampler.should_sample(context(LOW, sampled=False, remote=False), LOW, "x")
    assert [one.decision.name for one in (root, called, refused, below)] == [
        "RECORD_AND_SAMPLE",
        "RECORD_AND_SAMPLE",
        "RECORD_ONLY",
        "RECORD_ONLY",
    ]
    assert root.attributes == {"a": 1}
    assert called.trace_state is not None and called.trace_state.get("vendor") == "1"
    assert refused.trace_state is not None and refused.trace_state.get("vendor") == "1"


def test_in_head_mode_the_sdks_ratio_decides_and_roots_record_the_rate() -> None:
    exporter = InMemorySpanExporter()
    choice = choose_sampler(policy(mode="head", ratio=0.5), None)
    assert isinstance(choice.sampler, ParentBased)
    provider = TracerProvider(sampler=choice.sampler, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("t")
    for number in range(400):
        with (
            tracer.start_as_current_span("root", attributes={"n": number}),
            tracer.start_as_current_span("child"),
        ):
            pass
    spans = exporter.get_finished_spans()
    roots = [span for span in spans if span.name == "root"]
    assert 120 < len(roots) < 280
    assert len(spans) == 2 * len(roots)
    for span in spans:
        attributes = dict(span.attributes or {})
        attributes.pop("n", None)
        expected = (
            {semconv.SAMPLING_RATE: 0.5, semconv.SAMPLING_REASON: "ratio"} if span.name == "root" else {}
        )
        assert attributes == expected
    provider.shutdown()


@pytest.mark.parametrize("mode", ["head", "always"])
def test_head_sampling_respects_the_callers_decision(mode: str) -> None:
    sampler = choose_sampler(policy(mode=mode), None).sampler
    assert sampler.should_sample(context(LOW, sampled=False), LOW, "x").decision.name == "DROP"
    assert sampler.should_sample(context(HIGH, sampled=True), HIGH, "x").decision.name == "RECORD_AND_SAMPLE"
