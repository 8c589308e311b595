"""Background work pauses after each slice, so that no request waits for the end of a batch. Clocks are fake."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from mita_otel.policy import default_policy
from mita_otel.processors.queues.export_queue import ExportQueue
from mita_otel.processors.queues.losses import Losses
from mita_otel.processors.queues.pipeline_queue import PipelineQueue
from mita_otel.processors.queues.slices import Slices
from mita_otel.processors.tail_sampling import TailSampler
from mita_otel.redaction import Redactor

PIECE_S = 0.0004
"""CPU time of one piece of work."""
WORK_S = 0.001
PIECES = 100


class Cpu:
    """A clock that advances by work, and the pauses between it."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.pauses: list[float] = []
        self.longest_s = 0.0
        """The longest work without a pause."""
        self.done = threading.Event()
        self._paused_at_s = 0.0
        self._left = PIECES

    def slices(self, max_backlog: float = 1) -> Slices:
        return Slices(WORK_S, 0.0003, max_backlog, clock=lambda: self.now_s, sleep=self.sleep)

    def work(self) -> None:
        self.now_s += PIECE_S
        self.longest_s = max(self.longest_s, self.now_s - self._paused_at_s)
        self._left -= 1
        if self._left == 0:
            self.done.set()

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self._paused_at_s = self.now_s

    def assert_divided(self) -> None:
        assert self.done.wait(60)
        assert self.longest_s <= WORK_S + PIECE_S
        assert len(self.pauses) >= PIECES * PIECE_S / (WORK_S + PIECE_S) - 1


class Working(SpanProcessor):
    """Works on each span that ends."""

    def __init__(self, cpu: Cpu) -> None:
        self._cpu = cpu

    def on_end(self, span: ReadableSpan) -> None:
        self._cpu.work()


@pytest.fixture
def cpu() -> Cpu:
    return Cpu()


def test_a_background_thread_pauses_after_each_slice(cpu: Cpu) -> None:
    slices = cpu.slices()
    with slices.work():
        for _ in range(PIECES):
            cpu.work()
            slices.step()
    cpu.assert_divided()
    assert set(cpu.pauses) == {0.0003}


def test_threads_that_do_no_background_work_never_pause(cpu: Cpu) -> None:
    slices = cpu.slices()
    with slices.work():
        cpu.work()
    for _ in range(PIECES):
        cpu.work()
        slices.step()
    assert cpu.pauses == []


def test_urgent_work_does_not_pause(cpu: Cpu) -> None:
    slices = cpu.slices()
    with slices.work(lambda: True):
        for _ in range(PIECES):
            cpu.work()
            slices.step()
    assert cpu.pauses == []


def test_background_threads_work_in_turns() -> None:
    slices = Slices(10, 0, clock=lambda: 0.0)
    asked, order = threading.Event(), []

    def ask() -> bool:
        asked.set()
        return False

    def second() -> None:
        with slices.work(ask):
            order.append("second")

    with slices.work():
        thread = threading.Thread(target=second)
        thread.start()
        assert asked.wait(60)
        order.append("first")
    thread.join(60)
    assert order == ["first", "second"]


def test_a_thread_that_keeps_its_turn_does_not_stop_the_others() -> None:
    slices = Slices(0.0001, 0)
    worked = threading.Event()

    def second() -> None:
        with slices.work():
            worked.set()

    with slices.work():
        thread = threading.Thread(target=second)
        thread.start()
        assert worked.wait(60)
        thread.join(60)


def end_spans(processor: SpanProcessor, number: int, *, one_trace: bool = False) -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(processor)
    tracer = provider.get_tracer("test")
    if not one_trace:
        for _ in range(number):
            tracer.start_span("s").end()
        return
    with tracer.start_as_current_span("root"):
        for _ in range(number - 1):
            tracer.start_span("s").end()


def queue_policy(**changes: float):
    return default_policy().export.queue.replace(max_batch=PIECES, delay_ms=60_000, **changes)


def test_the_pipeline_pauses_between_spans(cpu: Cpu) -> None:
    queue = PipelineQueue(queue_policy(), Working(cpu), Losses(cool_down_s=60), slices=cpu.slices())
    end_spans(queue, PIECES)
    cpu.assert_divided()
    queue.shutdown()


def test_a_large_trace_that_is_kept_is_passed_on_in_slices(cpu: Cpu) -> None:
    slices = cpu.slices()
    sampling = default_policy().sampling.replace(ratio=1.0)
    sampler = TailSampler(sampling, Working(cpu), step=slices.step)
    queue = PipelineQueue(queue_policy(), sampler, Losses(cool_down_s=60), slices=slices)
    end_spans(queue, PIECES, one_trace=True)
    cpu.assert_divided()
    queue.shutdown()


def test_a_queue_that_fills_up_does_not_pause(cpu: Cpu) -> None:
    slices = cpu.slices(max_backlog=0.01)
    policy = default_policy().export.queue.replace(max_batch=10, delay_ms=60_000, max_spans=1000)
    gate = threading.Event()

    class Late(Working):
        def on_end(self, span: ReadableSpan) -> None:
            assert gate.wait(60)
            super().on_end(span)

    queue = PipelineQueue(policy, Late(cpu), Losses(cool_down_s=60), slices=slices)
    end_spans(queue, PIECES)
    gate.set()
    assert cpu.done.wait(60)
    assert len(cpu.pauses) <= 20 * PIECE_S / WORK_S, "only the last 20 spans may pause: more than 1 % waited"
    queue.shutdown()


def test_exporters_of_third_parties_pause_between_the_spans_that_they_encode(cpu: Cpu) -> None:
    class Encoding(SpanExporter):
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            assert len(spans) == PIECES
            for _ in spans:
                cpu.work()
            return SpanExportResult.SUCCESS

    queue = ExportQueue(
        "x", Encoding(), queue_policy(), Losses(cool_down_s=60), stop_timeout_s=5, slices=cpu.slices()
    )
    end_spans(queue, PIECES)
    cpu.assert_divided()
    queue.shutdown()


def test_a_flush_does_not_pause(cpu: Cpu) -> None:
    queue = PipelineQueue(
        default_policy().export.queue.replace(max_batch=1000, delay_ms=60_000),
        Working(cpu),
        Losses(cool_down_s=60),
        slices=cpu.slices(),
    )
    end_spans(queue, PIECES)
    assert queue.force_flush(60_000)
    assert cpu.pauses == []
    queue.shutdown()


def test_the_redaction_of_an_event_pauses_between_its_frames(cpu: Cpu) -> None:
    steps: list[int] = []
    redactor = Redactor(step=lambda: steps.append(1))
    frames = [{"function": f"f{number}", "vars": {"n": number}} for number in range(50)]
    redactor.event({"exception": {"values": [{"stacktrace": {"frames": frames}}]}})
    assert len(steps) >= len(frames)
