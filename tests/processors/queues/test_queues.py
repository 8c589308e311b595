"""PipelineQueue, ExportQueue, FanOut and Link: nothing blocks, nothing raises, every loss is counted."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from mita_otel.exporters.memory import MemorySpanExporter
from mita_otel.policy.conversion import convert
from mita_otel.policy.runtime import QueuePolicy
from mita_otel.processors.link import Link
from mita_otel.processors.queues.export_queue import ExportQueue, FanOut
from mita_otel.processors.queues.losses import AFTER_SHUTDOWN, DEADLINE_PASSED, Losses
from mita_otel.processors.queues.pipeline_queue import PipelineQueue
from mita_otel.processors.queues.worker import BoundedWorker


def queue_policy(**more: float) -> QueuePolicy:
    values = {
        "max_spans": 1000,
        "max_batch": 100,
        "delay_ms": 60_000,
        "exporter_max_spans": 1000,
        "idle_s": 60,
        **more,
    }
    return convert(QueuePolicy, values)


def export_queue(name: str, exporter: SpanExporter, policy: QueuePolicy, lost: Losses) -> ExportQueue:
    return ExportQueue(name, exporter, policy, lost, stop_timeout_s=5)


def losses() -> Losses:
    return Losses(cool_down_s=60)


def provider_with(processor: SpanProcessor, **more) -> TracerProvider:
    provider = TracerProvider(shutdown_on_exit=False, **more)
    provider.add_span_processor(processor)
    return provider


def end_spans(provider: TracerProvider, *names: str) -> None:
    tracer = provider.get_tracer("test")
    for name in names:
        tracer.start_span(name).end()


class Broken(SpanProcessor):
    """Raises in every method."""

    def on_start(self, span: Span, parent_context: object = None) -> None:
        raise RuntimeError("on_start")

    def on_end(self, span: ReadableSpan) -> None:
        raise RuntimeError("on_end")

    def shutdown(self) -> None:
        raise RuntimeError("shutdown")

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        raise RuntimeError("force_flush")


class Answering(SpanExporter):
    """Returns or raises."""

    def __init__(self, answer: SpanExportResult | BaseException) -> None:
        self.answer = answer

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


def test_spans_pass_the_pipeline_queue_and_the_export_queue() -> None:
    exporter, lost = MemorySpanExporter(100), losses()
    chain = PipelineQueue(
        queue_policy(), FanOut([export_queue("memory", exporter, queue_policy(), lost)]), lost
    )
    provider = provider_with(chain)
    end_spans(provider, "a", "b")
    assert provider.force_flush(60_000)
    assert [span.name for span in exporter.spans] == ["a", "b"]
    assert lost.counts() == {}
    provider.shutdown()


def test_no_exception_of_any_processor_reaches_the_application() -> None:
    exporter, lost = MemorySpanExporter(100), losses()
    chain = PipelineQueue(
        queue_policy(), FanOut([Broken(), export_queue("memory", exporter, queue_policy(), lost)]), lost
    )
    provider = provider_with(chain)
    end_spans(provider, "a")
    assert provider.force_flush(5000) is False  # the broken one did not flush
    assert [span.name for span in exporter.spans] == ["a"]
    provider.shutdown()


def test_spans_lost_by_a_raising_processor_are_counted() -> None:
    lost = losses()
    provider = provider_with(PipelineQueue(queue_policy(), Broken(), lost))
    end_spans(provider, "a", "b")
    with pytest.raises(RuntimeError, match="force_flush"):  # only an explicit call sees it
        provider.force_flush(5000)
    assert lost.counts() == {("pipeline", "processor_failed"): 2}
    with pytest.raises(RuntimeError, match="shutdown"):
        provider.shutdown()


def test_spans_that_are_not_sampled_are_not_queued() -> None:
    exporter, lost = MemorySpanExporter(100), losses()
    provider = provider_with(
        PipelineQueue(queue_policy(), export_queue("memory", exporter, queue_policy(), lost), lost),
        sampler=ALWAYS_OFF,
    )
    end_spans(provider, "a")
    assert provider.force_flush(60_000)
    assert exporter.spans == []
    provider.shutdown()


def test_the_queues_of_a_span_delay_it_by_the_setting_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """`OTEL_BSP_SCHEDULE_DELAY=500` promises 500 ms, and a span waits in two queues."""
    delays_s: list[float] = []
    init = BoundedWorker.__init__

    def recording(self: Any, *args: Any, delay_s: float, **kwargs: Any) -> None:
        delays_s.append(delay_s)
        init(self, *args, delay_s=delay_s, **kwargs)

    monkeypatch.setattr(BoundedWorker, "__init__", recording)
    bounds = queue_policy(delay_ms=500)
    PipelineQueue(bounds, export_queue("x", MemorySpanExporter(10), bounds, losses()), losses()).shutdown()
    assert delays_s == [0.25, 0.25]


def test_a_hanging_exporter_delays_no_other_and_its_losses_are_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    release, hanging = threading.Event(), threading.Event()

    class Hanging(SpanExporter):
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            hanging.set()
            release.wait(60)
            return SpanExportResult.SUCCESS

    lost, good = losses(), MemorySpanExporter(1000)
    narrow = queue_policy(exporter_max_spans=10, max_batch=1)
    slow = export_queue("slow", Hanging(), narrow, lost)
    provider = provider_with(
        PipelineQueue(
            queue_policy(), FanOut(queues=[slow, export_queue("good", good, queue_policy(), lost)]), lost
        )
    )
    end_spans(provider, "first")
    provider.force_flush(1)
    assert hanging.wait(60)
    end_spans(provider, *map(str, range(30)))
    assert provider.force_flush(200) is False
    assert len(good.spans) == 31
    assert lost.counts() == {("exporter.slow", "queue_full"): 20}
    assert caplog.text.count("telemetry lost at exporter.slow: 1 span(s) so far (queue_full)") == 1
    release.set()
    provider.shutdown()


class Gated(SpanExporter):
    """Blocks exports until it is released."""

    def __init__(self, answer: SpanExportResult) -> None:
        self.let, self.entered, self.exported = threading.Event(), threading.Event(), 0
        self._answer = answer

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.entered.set()
        assert self.let.wait(60)
        self.exported += len(spans)
        return self._answer


@pytest.mark.parametrize("answer", [SpanExportResult.SUCCESS, SpanExportResult.FAILURE])
def test_spans_past_a_deadline_are_counted_once_and_still_sent_while_the_process_lives(
    answer: SpanExportResult,
) -> None:
    lost, exporter = losses(), Gated(answer)
    queue = export_queue("slow", exporter, queue_policy(max_batch=2), lost)
    provider = provider_with(queue)
    end_spans(provider, *"abc")
    assert exporter.entered.wait(60)
    queue.abandon()
    assert lost.counts() == {("exporter.slow", DEADLINE_PASSED): 3}
    end_spans(provider, "d")
    queue.abandon()
    queue.abandon()
    assert lost.counts() == {("exporter.slow", DEADLINE_PASSED): 4}
    exporter.let.set()
    assert queue.force_flush(60_000)
    assert exporter.exported == 4
    end_spans(provider, "e")
    assert queue.force_flush(60_000)
    failed = {} if answer is SpanExportResult.SUCCESS else {("exporter.slow", "export_failed"): 1}
    assert lost.counts() == {("exporter.slow", DEADLINE_PASSED): 4, **failed}
    provider.shutdown()


def test_spans_left_in_a_closed_queue_are_counted_and_dropped() -> None:
    lost, exporter = losses(), Gated(SpanExportResult.FAILURE)
    queue = export_queue("slow", exporter, queue_policy(max_batch=2), lost)
    provider = provider_with(queue)
    end_spans(provider, *"abcde")
    assert exporter.entered.wait(60)
    assert queue.force_flush(1) is False
    queue.shutdown()
    assert lost.counts() == {("exporter.slow", DEADLINE_PASSED): 5}
    assert queue.waiting == 0
    queue.on_end(ReadableSpan("late"))
    assert lost.counts() == {("exporter.slow", DEADLINE_PASSED): 5, ("exporter.slow", AFTER_SHUTDOWN): 1}
    exporter.let.set()


def test_spans_not_processed_by_the_deadline_are_counted() -> None:
    lost, release, entered = losses(), threading.Event(), threading.Event()

    class Slow(SpanProcessor):
        def on_end(self, span: ReadableSpan) -> None:
            entered.set()
            release.wait(60)

    pipeline_queue = PipelineQueue(queue_policy(max_batch=1), Slow(), lost)
    provider = provider_with(pipeline_queue)
    end_spans(provider, *"abc")
    assert entered.wait(60)
    pipeline_queue.abandon()
    assert lost.counts() == {("pipeline", DEADLINE_PASSED): 3}
    provider.shutdown()
    assert pipeline_queue.waiting == 0
    assert lost.counts() == {("pipeline", DEADLINE_PASSED): 3}
    release.set()


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (SpanExportResult.FAILURE, "export_failed"),
        (ValueError("no"), "exporter_failed"),
        (asyncio.CancelledError(), "exporter_failed"),
        (GeneratorExit(), "exporter_failed"),
    ],
)
def test_a_failed_export_is_counted(answer: SpanExportResult | BaseException, reason: str) -> None:
    lost = losses()
    queue = export_queue("broken", Answering(answer), queue_policy(), lost)
    provider = provider_with(queue)
    end_spans(provider, "a", "b")
    assert provider.force_flush(60_000)
    assert lost.counts() == {("exporter.broken", reason): 2}
    end_spans(provider, "c")
    assert provider.force_flush(60_000), "the queue works on"
    assert lost.counts() == {("exporter.broken", reason): 3}
    provider.shutdown()


def test_spans_that_do_not_fit_into_the_pipeline_queue_are_counted() -> None:
    lost, release, entered = losses(), threading.Event(), threading.Event()

    class Slow(SpanProcessor):
        def on_end(self, span: ReadableSpan) -> None:
            entered.set()
            release.wait(60)

    provider = provider_with(PipelineQueue(queue_policy(max_spans=5, max_batch=1), Slow(), lost))
    end_spans(provider, "first")
    assert entered.wait(60)
    end_spans(provider, *map(str, range(8)))
    assert lost.counts() == {("pipeline", "queue_full"): 3}
    release.set()
    provider.shutdown()


def test_a_link_whose_process_raises_passes_the_span_on_and_counts(caplog: pytest.LogCaptureFixture) -> None:
    class Failing(Link):
        def process(self, span: ReadableSpan) -> ReadableSpan | None:
            raise ValueError("no")

    exporter = MemorySpanExporter(10)
    link = Failing(export_queue("memory", exporter, queue_policy(), losses()))
    provider = provider_with(link)
    end_spans(provider, "a", "b")
    assert provider.force_flush(60_000)
    assert [span.name for span in exporter.spans] == ["a", "b"]
    assert link.failures == 2
    assert caplog.text.count("Failing failed on a span") == 1
    provider.shutdown()


def test_a_link_that_returns_none_drops_the_span() -> None:
    class Nothing(Link):
        def process(self, span: ReadableSpan) -> ReadableSpan | None:
            return None

    exporter = MemorySpanExporter(10)
    provider = provider_with(Nothing(export_queue("memory", exporter, queue_policy(), losses())))
    end_spans(provider, "a")
    assert provider.force_flush(60_000)
    assert exporter.spans == []
    provider.shutdown()
