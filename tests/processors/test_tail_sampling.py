"""The tail sampler holds traces until they end, keeps slow and failed ones, and records the rate."""

from __future__ import annotations

import logging
import multiprocessing
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from mita_otel import semconv
from mita_otel.policy import default_policy
from mita_otel.policy.conversion import convert
from mita_otel.policy.sampling import SamplingPolicy
from mita_otel.processors.samplers import RecordEverything
from mita_otel.processors.tail_sampling import TailSampler
from mita_otel.processors.threshold import ThresholdProcessor

POLICY = default_policy()
KEPT = 0xAA_FFFFFFFFFFFFFF
DROPPED = 0xAA_00000000000000


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Ids(IdGenerator):
    """Generates the given trace ids."""

    def __init__(self) -> None:
        self.next_trace_id = KEPT
        self._random = RandomIdGenerator()

    def generate_trace_id(self) -> int:
        return self.next_trace_id

    def generate_span_id(self) -> int:
        return self._random.generate_span_id()


class Bench:
    """A provider with limits and the tail sampler."""

    def __init__(self, **changed: Any) -> None:
        tree = {**POLICY.sampling.to_dict(), **changed}
        self.clock, self.ids, self.exporter = Clock(), Ids(), InMemorySpanExporter()
        self.sampler = TailSampler(
            convert(SamplingPolicy, tree), SimpleSpanProcessor(self.exporter), clock=self.clock
        )
        self.provider = TracerProvider(
            sampler=RecordEverything(), id_generator=self.ids, shutdown_on_exit=False
        )
        self.provider.add_span_processor(ThresholdProcessor(POLICY.thresholds, self.sampler))
        self.tracer = self.provider.get_tracer("t")

    def trace(self, trace_id: int, *, child: dict[str, Any] | None = None, **root: Any) -> None:
        """End a root and a child in it."""
        self.ids.next_trace_id = trace_id
        with (
            self.tracer.start_as_current_span("root", **root),
            self.tracer.start_as_current_span("child") as span,
        ):
            span.set_attributes(child or {})

    @property
    def out(self) -> list[ReadableSpan]:
        return list(self.exporter.get_finished_spans())

    @property
    def names(self) -> list[str]:
        return [span.name for span in self.out]


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.provider.shutdown()


def remote(trace_id: int, *, sampled: bool = True, state: str = "") -> Any:
    flags = TraceFlags(TraceFlags.SAMPLED if sampled else 0)
    trace_state = TraceState.from_header([state]) if state else TraceState()
    return set_span_in_context(NonRecordingSpan(SpanContext(trace_id, 0xB, True, flags, trace_state)))


def marks(span: ReadableSpan) -> tuple[Any, Any]:
    attributes = span.attributes or {}
    return attributes.get(semconv.SAMPLING_RATE), attributes.get(semconv.SAMPLING_REASON)


def state_of(span: ReadableSpan) -> str | None:
    assert span.context is not None
    return span.context.trace_state.get("ot")


def test_a_trace_kept_by_its_ratio_records_the_rate(bench: Bench) -> None:
    bench.trace(DROPPED)
    bench.trace(KEPT)
    child, root = bench.out
    assert (child.name, root.name) == ("child", "root")
    assert marks(root) == (pytest.approx(0.1), "ratio")
    assert marks(child) == (None, None), "the local root speaks for the trace"
    assert state_of(root) == state_of(child) == "th:e6666666666666"
    assert child.parent is not None and root.context is not None
    assert child.parent.span_id == root.context.span_id


@pytest.mark.parametrize(
    ("child", "root", "reason"),
    [
        ({"mita.latency.exceeded": True}, {}, "breach"),
        ({"mita.repeated_queries.count": 20}, {}, "breach"),
        ({"http.response.status_code": 503}, {}, "error"),
        ({"http.status_code": 500}, {}, "error"),
        ({"mita.event.id": "a" * 32}, {}, "error"),
        ({"http.response.status_code": 404}, {}, None),
        ({"http.response.status_code": "500"}, {}, None),
        ({}, {}, None),
    ],
)
def test_a_flaw_of_one_span_keeps_its_trace(
    bench: Bench, child: dict[str, Any], root: dict[str, Any], reason: str | None
) -> None:
    bench.trace(DROPPED, child=child, **root)
    assert bench.names == (["child", "root"] if reason else [])
    if reason:
        assert marks(bench.out[1]) == (1.0, reason)
        assert state_of(bench.out[0]) is None


def test_a_failed_span_or_a_recorded_exception_keeps_its_trace(bench: Bench) -> None:
    bench.ids.next_trace_id = DROPPED
    with bench.tracer.start_as_current_span("handled") as span:
        span.record_exception(ValueError("no"))
    bench.ids.next_trace_id = DROPPED + 1
    with bench.tracer.start_as_current_span("failed") as span:
        span.set_status(StatusCode.ERROR)
    assert bench.names == ["handled", "failed"]


def test_a_breach_keeps_its_trace(bench: Bench) -> None:
    bench.ids.next_trace_id = DROPPED
    attributes = {"http.request.method": "GET", "http.route": "/a"}
    start = 10**18
    root = bench.tracer.start_span("GET /a", kind=SpanKind.SERVER, attributes=attributes, start_time=start)
    with bench.tracer.start_as_current_span("child", context=set_span_in_context(root)):
        pass
    root.end(start + 501_000_000)
    assert bench.names == ["child", "GET /a"]
    assert marks(bench.out[1]) == (1.0, "breach")


def test_a_flush_does_not_decide_a_running_trace(bench: Bench) -> None:
    bench.ids.next_trace_id = KEPT
    with bench.tracer.start_as_current_span("root"):
        bench.tracer.start_span("child").end()
        assert bench.provider.force_flush()
        assert bench.names == []
    assert bench.names == ["child", "root"]


def test_at_the_end_of_the_process_a_flush_decides_everything(bench: Bench) -> None:
    bench.ids.next_trace_id = KEPT
    root = bench.tracer.start_span("root")
    with bench.tracer.start_as_current_span("child", context=set_span_in_context(root)):
        pass
    bench.sampler.drain()
    assert bench.names == []
    assert bench.provider.force_flush()
    assert bench.names == ["child"]
    root.end()
    assert bench.names == ["child", "root"]
    assert marks(bench.out[1]) == (pytest.approx(0.1), "ratio")


def test_shutdown_decides_held_traces() -> None:
    bench = Bench()
    root = bench.tracer.start_span("root")
    bench.tracer.start_span("child", context=set_span_in_context(root)).end()
    bench.provider.shutdown()
    assert bench.names == ["child"]


def test_a_tick_decides_traces_that_were_held_too_long(bench: Bench) -> None:
    root = bench.tracer.start_span("websocket")
    bench.tracer.start_span("message", context=set_span_in_context(root)).end()
    bench.clock.now_s += POLICY.sampling.max_wait_s - 1
    bench.sampler.tick()
    assert bench.names == []
    bench.clock.now_s += 1
    bench.sampler.tick()
    assert bench.names == ["message"]


def test_a_callers_decision_not_to_sample_is_respected(bench: Bench) -> None:
    bench.trace(
        DROPPED,
        child={"mita.latency.exceeded": True},
        context=remote(KEPT, sampled=False),
        kind=SpanKind.SERVER,
    )
    assert bench.names == []
    assert bench.sampler.held.traces == {(False, "caller"): 1}
    assert bench.sampler.held.spans == {False: 2}


def test_a_breach_overrides_the_caller_if_the_policy_allows_it() -> None:
    bench = Bench(remote_unsampled="keep_breaches")
    bench.trace(0, context=remote(KEPT, sampled=False), kind=SpanKind.SERVER)
    bench.trace(
        0,
        child={"mita.latency.exceeded": True},
        context=remote(DROPPED, sampled=False),
        kind=SpanKind.SERVER,
    )
    assert bench.names == ["child", "root"]
    assert marks(bench.out[1]) == (1.0, "breach")
    assert all(span.context is not None and span.context.trace_flags.sampled for span in bench.out), (
        "exporters leave out what is not sampled"
    )
    bench.provider.shutdown()


@pytest.mark.parametrize(("policy", "names"), [("decide", []), ("keep", ["child", "root"])])
def test_a_callers_decision_to_sample_is_respected_if_the_policy_requires_it(
    policy: str, names: list[str]
) -> None:
    bench = Bench(remote_sampled=policy)
    bench.trace(0, context=remote(DROPPED), kind=SpanKind.SERVER)
    assert bench.names == names
    if names:
        assert marks(bench.out[1]) == (1.0, "caller")
    bench.provider.shutdown()


@pytest.mark.parametrize(
    ("state", "child", "rate", "written"),
    [
        ("ot=th:c,vendor=1", {}, 0.1, "th:e6666666666666"),
        ("ot=th:ff", {}, 1 / 256, "th:ff"),
        ("vendor=1", {}, 0.1, "th:e6666666666666"),
        ("ot=th:c", {"mita.latency.exceeded": True}, 0.25, "th:c"),
    ],
)
def test_a_callers_ratio_is_applied_and_its_tracestate_is_kept(
    bench: Bench, state: str, child: dict[str, Any], rate: float, written: str
) -> None:
    bench.trace(0, child=child, context=remote(KEPT, state=state), kind=SpanKind.SERVER)
    child_span, root = bench.out
    assert marks(root)[0] == pytest.approx(rate)
    assert state_of(root) == state_of(child_span) == written
    assert root.context is not None
    assert root.context.trace_state.get("vendor") == ("1" if "vendor" in state else None)


def test_a_callers_randomness_replaces_that_of_the_trace_id(bench: Bench) -> None:
    bench.trace(0, context=remote(DROPPED, state="ot=rv:ffffffffffffff"), kind=SpanKind.SERVER)
    assert bench.names == ["child", "root"]
    assert state_of(bench.out[0]) == "th:e6666666666666;rv:ffffffffffffff"


def test_a_rule_of_the_policy_has_its_own_ratio() -> None:
    bench = Bench(rules={"gold": {"attributes": {"tenant": "gold"}, "ratio": 1.0}})
    bench.trace(DROPPED + 1, attributes={"tenant": "silver"})
    bench.trace(DROPPED, child={"tenant": "gold"})
    assert bench.names == ["child", "root"]
    attributes = bench.out[1].attributes or {}
    assert (attributes[semconv.SAMPLING_RATE], attributes[semconv.SAMPLING_RULE]) == (1.0, "gold")
    bench.provider.shutdown()


def test_reaching_a_bound_is_logged_once_per_cool_down(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(max_traces=2)
    for number in range(10):
        bench.ids.next_trace_id = number + 1
        root = bench.tracer.start_span("root")
        bench.tracer.start_span("child", context=set_span_in_context(root)).end()
    logged = [
        record.getMessage() for record in caplog.records if "has reached a bound" in record.getMessage()
    ]
    assert len(logged) == 1
    assert bench.sampler.held.early == 8
    bench.provider.shutdown()


def test_a_span_that_causes_an_exception_is_passed_on(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    class Odd(dict[str, Any]):
        def values(self) -> Any:
            raise RuntimeError("no")

    span = ReadableSpan("odd", context=SpanContext(1, 2, False, TraceFlags(1)))
    span._attributes = Odd(a=1)  # type: ignore[assignment]
    caplog.set_level(logging.ERROR)
    bench.sampler.on_end(span)
    assert bench.names == ["odd"]
    assert bench.sampler.failures == 1
    assert "TailSampler failed on a span" in caplog.text


def test_traces_of_many_threads_are_passed_on_exactly_once(bench: Bench) -> None:
    def work(start: int) -> None:
        for number in range(200):
            context = remote((start * 1000 + number + 1) << 56 | KEPT)
            with (
                bench.tracer.start_as_current_span("root", context=context),
                bench.tracer.start_as_current_span("child"),
            ):
                pass

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(bench.names) == ["child"] * 1200 + ["root"] * 1200
    assert bench.sampler.held.held_traces == 0


def _in_child(queue: multiprocessing.Queue[Any], bench: Bench) -> None:
    bench.sampler.drain()
    bench.provider.force_flush()
    before = list(bench.names)
    bench.trace(KEPT + (1 << 64))
    queue.put((before, bench.names))


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning")
def test_a_forked_child_holds_no_spans_of_its_parent(bench: Bench) -> None:
    root = bench.tracer.start_span("root")
    bench.tracer.start_span("child", context=set_span_in_context(root)).end()
    context = multiprocessing.get_context("fork")
    queue: multiprocessing.Queue[Any] = context.Queue()
    child = context.Process(target=_in_child, args=(queue, bench))
    child.start()
    assert queue.get(timeout=60) == ([], ["child", "root"])
    child.join(60)
    root.end()
    assert bench.names == ["child", "root"]


def test_starts_and_flushes_reach_the_next_processor() -> None:
    heard: list[str] = []

    class Next(SpanProcessor):
        def on_start(self, span: Any, parent_context: Any = None) -> None:
            heard.append("start")

        def force_flush(self, timeout_millis: int = 30000) -> bool:
            heard.append(f"flush {timeout_millis}")
            return False

        def shutdown(self) -> None:
            heard.append("shutdown")

    sampler = TailSampler(POLICY.sampling, Next())
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(sampler)
    provider.get_tracer("t").start_span("x")
    assert sampler.force_flush(7) is False
    sampler.shutdown()
    assert heard == ["start", "flush 7", "shutdown"]
