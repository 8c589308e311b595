"""Summaries of one process and of several workers; burn rates; valid arguments."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind

import mita_otel
from closing import Closing
from mita_otel import PerformanceCategory, get_performance_summary
from mita_otel.latency.window import LatencyWindow
from mita_otel.policy import Policy, default_policy
from mita_otel.policy.conversion import convert
from mita_otel.processors.pipeline import Measurements, Pipeline
from mita_otel.processors.queues.losses import Losses
from mita_otel.processors.queues.pipeline_queue import PipelineQueue
from mita_otel.processors.queues.stage import deadline_in
from mita_otel.redaction import Redactor
from mita_otel.sdk.performance import Performance

POLICY = default_policy()
START = 10**18
REQUEST = {"http.request.method": "GET", "http.route": "/a"}
NOW_S = 1_800_000_000.0


class Store:
    """A window store in memory."""

    def __init__(self) -> None:
        self.windows: list[LatencyWindow] = []

    def write_windows(self, windows: Iterable[LatencyWindow], /) -> None:
        self.windows.extend(windows)

    def read_windows(self, start_s: float, end_s: float, /) -> Iterable[LatencyWindow]:
        return [one for one in self.windows if start_s <= one.start_s < end_s]


class Worker:
    """The telemetry of one process."""

    def __init__(self, clock: Callable[[], float], policy: Policy = POLICY) -> None:
        losses = Losses(cool_down_s=60)
        redactor = Redactor(policy.redaction)
        self.measurements = Measurements(
            policy, redactor.text, losses, tail=True, metrics_active=lambda: False, env={}, clock=clock
        )
        self.pipeline = Pipeline(policy, redactor, [], losses, self.measurements, tail=True)
        self.performance = Performance(
            policy.summary, self.measurements, 1.0, catch_up=self.pipeline.first.catch_up, clock=clock
        )
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(self.pipeline.first)

    def close(self) -> None:
        self.provider.shutdown()
        for stage in self.performance.stages:
            stage.close()

    def span(self, duration_ms: float, attributes: dict[str, Any] = REQUEST) -> None:
        kind = SpanKind.SERVER if "http.request.method" in attributes else SpanKind.INTERNAL
        span = self.provider.get_tracer("t").start_span(
            "x", kind=kind, attributes=attributes, start_time=START
        )
        span.end(START + int(duration_ms * 1e6))

    def flush(self) -> None:
        assert self.provider.force_flush(60_000)
        assert self.measurements.writer.flush(deadline_in(60_000))


class Clock:
    now_s = NOW_S

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def worker(closing: Closing) -> Worker:
    return closing(Worker(Clock()))


def test_unsampled_spans_count(worker: Worker) -> None:
    for _ in range(200):
        worker.span(10)
    worker.span(600)
    worker.flush()
    summary = worker.performance.summary()
    assert (summary["scope"], summary["count"], summary["breaches"]) == ("process", 201, 1)
    assert summary["sample_rate"] == 1.0
    operation = summary["categories"]["api"]["operations"]["GET /a"]
    assert (operation["rule"], operation["limit_ms"]) == ("api.methods.GET", 500)
    assert summary["slowest"][0]["duration_ms"] == 600
    sampler = worker.pipeline.sampler
    assert sampler is not None and sampler.held.spans[True] < 100


def test_a_span_that_has_just_ended_counts(closing: Closing) -> None:
    queue = POLICY.export.queue.replace(delay_ms=60_000)  # only the summary flushes it
    export = POLICY.export.replace(queue=queue)
    summary = POLICY.summary.replace(wait_ms=30_000)  # for a busy machine
    worker = closing(Worker(Clock(), POLICY.replace(export=export, summary=summary)))
    try:
        for count in range(1, 4):
            worker.span(10)
            assert worker.performance.summary()["count"] == count
    finally:
        worker.provider.shutdown()


def test_a_summary_can_be_of_one_category(worker: Worker) -> None:
    worker.span(10)
    worker.span(10, {"mita.operation": "payment_processing"})
    worker.flush()
    for category in (PerformanceCategory.FINANCIAL, "financial"):
        summary = worker.performance.summary(1, category)
        assert list(summary["categories"]) == ["financial"]
        assert summary["count"] == 1


def test_an_operation_name_is_redacted_in_summaries_and_reports(worker: Worker) -> None:
    heard: list[mita_otel.BreachReport] = []

    class Listener:
        def on_breach(self, report: mita_otel.BreachReport, /) -> None:
            heard.append(report)

    worker.performance.on_breach(Listener())
    worker.span(
        9000, {"mita.operation": "pay 4111111111111111", "mita.operation.category": "payment_processing"}
    )
    worker.flush()
    assert worker.measurements.signal.flush(deadline_in(60_000))
    assert "4111111111111111" not in str(worker.performance.summary())
    [report] = heard
    assert "4111111111111111" not in str(report)
    assert (report.kind, report.rule, report.limit, report.value) == (
        "financial",
        "financial.payment_processing",
        1200,
        9000,
    )


def test_with_a_store_a_summary_counts_all_workers_once(closing: Closing) -> None:
    clock, store = Clock(), Store()
    workers = [closing(Worker(clock)) for _ in range(3)]
    for one in workers:
        one.performance.keep_windows(store)
    for minute in range(3):
        for number, one in enumerate(workers):
            for _ in range(number + 1):
                one.span(100 * (minute + 1))
            one.flush()
        clock.now_s += 60
    for one in workers:
        one.flush()
    workers[0].span(5)
    workers[0].flush()
    summary = workers[0].performance.summary(1)
    assert (summary["scope"], summary["count"]) == ("all_workers", 19)
    assert summary["max_ms"] == 300
    assert workers[1].performance.summary(1)["count"] == 18, "the others' present minute comes with its end"
    for one in workers:
        one.provider.shutdown()


def test_with_an_unavailable_store_a_summary_is_of_this_process(
    worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    class Down(Store):
        def read_windows(self, start_s: float, end_s: float, /) -> Iterable[LatencyWindow]:
            raise OSError("the database is down")

    worker.performance.keep_windows(Down())
    worker.span(10)
    worker.flush()
    summary = worker.performance.summary()
    assert (summary["scope"], summary["count"]) == ("process", 1)
    assert "of this process alone" in caplog.text


def test_an_adaptive_limit_follows_measured_durations(closing: Closing) -> None:
    tree = POLICY.to_dict()
    tree["thresholds"]["api"]["methods"]["GET"] = {"follow": "p50 * 2", "floor_ms": 1, "ceiling_ms": 2000}
    clock = Clock()
    worker = closing(Worker(clock, convert(Policy, tree)))
    for _ in range(150):
        worker.span(100)
    worker.flush()
    assert worker.performance.summary()["breaches"] == 0
    clock.now_s += 120
    worker.span(190)
    worker.span(210)
    worker.flush()
    summary = worker.performance.summary()
    assert summary["breaches"] == 1
    limit_ms = summary["categories"]["api"]["operations"]["GET /a"]["limit_ms"]
    assert limit_ms == pytest.approx(200, rel=0.01)
    worker.provider.shutdown()


def test_burn_rates_are_by_rule_and_window(worker: Worker) -> None:
    for duration_ms in (10, 10, 10, 600):
        worker.span(duration_ms)
    worker.flush()
    rates = worker.performance.burn_rates()
    assert {(one.rule, one.window) for one in rates} == {
        ("api.methods.GET", name) for name in ("fast", "medium", "slow")
    }
    assert rates[0].long_rate == pytest.approx(25)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((0,), "has to be above 0"),
        ((float("nan"),), "has to be above 0"),
        ((1, "speed"), "known: api, financial"),
    ],
)
def test_an_invalid_argument_is_an_error_with_the_valid_values(arguments: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        get_performance_summary(*arguments)


@pytest.mark.usefixtures("isolated_telemetry")
def test_a_summary_is_empty_only_without_configuration() -> None:
    assert get_performance_summary()["count"] == 0
    telemetry = mita_otel.configure(exporters=["none"])
    from opentelemetry import trace

    with trace.get_tracer("t").start_as_current_span(
        "x", attributes={"mita.operation": "budget_calculation"}
    ):
        pass
    assert telemetry.flush(60)
    summary = get_performance_summary(1, PerformanceCategory.FINANCIAL)
    assert list(summary["categories"]["financial"]["operations"]) == ["budget_calculation"]


def test_without_tail_sampling_every_span_is_exported() -> None:
    losses = Losses(cool_down_s=60)
    redactor = Redactor(POLICY.redaction)
    measurements = Measurements(
        POLICY, redactor.text, losses, tail=False, metrics_active=lambda: False, env={}
    )
    pipeline = Pipeline(POLICY, redactor, [], losses, measurements, tail=False)
    assert pipeline.sampler is None
    assert isinstance(pipeline.first, PipelineQueue)
