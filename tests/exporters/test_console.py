"""The console exporter prints one waterfall per trace, holds bounded spans, and survives a closed stdout."""

from __future__ import annotations

import io
import os
import re
from pathlib import Path
from typing import TextIO

import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags

from mita_otel.exporters.console import ConsoleWaterfallExporter
from mita_otel.exporters.file import FileSpanExporter
from mita_otel.exporters.span_record import SpanRecord, read_spans
from mita_otel.policy import default_policy
from mita_otel.policy.runtime import ConsolePolicy
from mita_otel.processors.redaction import RedactionProcessor
from mita_otel.redaction import Redactor

SUCCESS, FAILURE = SpanExportResult.SUCCESS, SpanExportResult.FAILURE


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Spans:
    """Creates finished spans."""

    def __init__(self) -> None:
        self.memory = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self.memory))
        self.tracer = self.provider.get_tracer("test")

    def start(
        self, name: str, parent: trace.Span | None = None, kind: SpanKind = SpanKind.INTERNAL
    ) -> trace.Span:
        context = trace.set_span_in_context(parent) if parent is not None else Context()
        return self.tracer.start_span(name, context, kind)

    def end(self, span: trace.Span) -> ReadableSpan:
        span.end()
        return self.memory.get_finished_spans()[-1]


def settings(**changed: object) -> ConsolePolicy:
    return default_policy().export.console.replace(**changed)


def make(
    stream: TextIO | None = None, clock: Clock | None = None, **changed: object
) -> tuple[ConsoleWaterfallExporter, io.StringIO]:
    output = io.StringIO()
    exporter = ConsoleWaterfallExporter(
        stream=stream or output, policy=settings(**changed), clock=clock or Clock()
    )
    return exporter, output


def names(output: io.StringIO) -> list[str]:
    """Return the first word of each row printed since the last call, with its indentation."""
    text = output.getvalue()
    output.seek(0)
    output.truncate()
    return [match[0] for line in text.splitlines() if (match := re.match(r"\W*(?!trace )\w+", line))]


@pytest.fixture
def spans() -> Spans:
    return Spans()


def test_a_trace_is_printed_when_its_local_root_ends(spans: Spans) -> None:
    exporter, output = make()
    root = spans.start("root")
    first, second = spans.start("first", root), spans.start("second", root)
    assert exporter.export([spans.end(first)]) is SUCCESS
    exporter.export([spans.end(second)])
    assert output.getvalue() == ""
    exporter.export([spans.end(root)])
    assert names(output) == ["root", "├─ first", "└─ second"]


def test_a_trace_with_a_remote_parent_is_printed_at_once(spans: Spans) -> None:
    exporter, output = make()
    caller = NonRecordingSpan(SpanContext(0x1234, 0x5678, is_remote=True, trace_flags=TraceFlags(1)))
    exporter.export([spans.end(spans.start("served", caller, SpanKind.SERVER))])
    assert names(output) == ["served"]


def test_a_span_that_ends_after_its_request_is_printed_as_a_separate_tree(spans: Spans) -> None:
    exporter, output = make()
    root = spans.start("root")
    task = spans.start("task", root)
    exporter.export([spans.end(root)])
    assert names(output) == ["root"]
    query = spans.start("query", task)
    exporter.export([spans.end(query)])
    assert names(output) == []
    exporter.export([spans.end(task)])
    assert names(output) == ["task", "└─ query"]


def test_two_requests_of_one_trace_are_two_waterfalls(spans: Spans) -> None:
    exporter, output = make()
    outer = spans.start("outer")
    call = spans.start("call", outer)
    context = call.get_span_context()
    remote = NonRecordingSpan(SpanContext(context.trace_id, context.span_id, True, context.trace_flags))
    inner = spans.start("inner", remote, SpanKind.SERVER)
    step, query = spans.start("step", outer), spans.start("query", inner)
    exporter.export([spans.end(step), spans.end(query), spans.end(inner)])
    assert names(output) == ["inner", "└─ query"]
    exporter.export([spans.end(call), spans.end(outer)])
    assert names(output) == ["outer", "├─ call", "└─ step"]


def test_the_number_of_held_spans_is_bounded(spans: Spans) -> None:
    exporter, output = make(max_waiting_spans=10)
    roots = [spans.start(f"root{n}") for n in range(6)]
    for number, root in enumerate(roots):
        exporter.export([spans.end(spans.start(f"child{number}_{n}", root)) for n in (1, 2)])
    assert names(output) == ["child0_1", "child0_2"]
    exporter.export([spans.end(roots[5])])
    assert names(output) == ["root5", "├─ child5_1", "└─ child5_2"]


def test_an_unfinished_trace_is_printed_after_a_timeout(spans: Spans) -> None:
    clock = Clock()
    exporter, output = make(clock=clock, max_wait_s=30)
    root = spans.start("root")
    exporter.export([spans.end(spans.start("child", root))])
    clock.now += 29.9
    exporter.tick()
    assert names(output) == []
    clock.now += 0.1
    exporter.tick()
    assert names(output) == ["child"]
    exporter.export([spans.end(root)])
    assert names(output) == ["root"]


@pytest.mark.parametrize("end", ["force_flush", "shutdown"])
def test_flush_and_shutdown_print_held_spans(spans: Spans, end: str) -> None:
    exporter, output = make()
    exporter.export([spans.end(spans.start("child", spans.start("root")))])
    getattr(exporter, end)()
    assert names(output) == ["child"]


def test_after_drain_spans_are_printed_at_once(spans: Spans) -> None:
    exporter, output = make()
    exporter.export([spans.end(spans.start("early", spans.start("root")))])
    exporter.drain()
    exporter.export([spans.end(spans.start("late", spans.start("other")))])
    assert names(output) == ["early", "late"]


def test_a_closed_pipe_stops_only_the_printing(spans: Spans) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    stream = os.fdopen(writing, "w", encoding="utf-8")
    exporter = ConsoleWaterfallExporter(stream=stream, policy=settings())
    for _ in range(3):
        assert exporter.export([spans.end(spans.start("root"))]) is FAILURE
    assert exporter.force_flush() is True  # nothing waits
    exporter.shutdown()
    with pytest.raises(BrokenPipeError):
        stream.close()


def test_a_closed_stream_is_a_failed_export(spans: Spans) -> None:
    stream = io.StringIO()
    stream.close()
    exporter, _ = make(stream)
    assert exporter.export([spans.end(spans.start("root"))]) is FAILURE
    exporter.shutdown()


def test_a_process_without_stdout_is_a_failed_export(spans: Spans, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", None)
    exporter = ConsoleWaterfallExporter(policy=settings())
    assert exporter.export([spans.end(spans.start("root"))]) is FAILURE


def test_the_current_stdout_is_used(spans: Spans, monkeypatch: pytest.MonkeyPatch) -> None:
    exporter = ConsoleWaterfallExporter(policy=settings())
    for _ in range(2):
        output = io.StringIO()
        monkeypatch.setattr("sys.stdout", output)
        exporter.export([spans.end(spans.start("root"))])
        assert "root" in output.getvalue()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_any_encoding_works(spans: Spans, encoding: str) -> None:
    buffer = io.BytesIO()
    stream = io.TextIOWrapper(buffer, encoding=encoding)
    exporter = ConsoleWaterfallExporter(stream=stream, policy=settings())
    root = spans.start("Überweisung 口座")
    exporter.export([spans.end(spans.start("child", root)), spans.end(root)])
    text = buffer.getvalue().decode(encoding)
    assert "berweisung" in text
    assert ("└─ child" in text) is (encoding == "utf-8")


@pytest.mark.parametrize("width", [60, 100, 140])
def test_a_file_gets_plain_text_of_the_policys_width(spans: Spans, width: int) -> None:
    exporter, output = make(max_width=width)
    root = spans.start("a name that is long, " * 10)
    exporter.export([spans.end(spans.start("child", root)), spans.end(root)])
    lines = output.getvalue().splitlines()
    assert "\x1b" not in output.getvalue()
    assert max(map(len, lines)) <= width
    assert len(lines[2]) == width  # the root's row: bar and duration reach the edge


def test_settings_come_from_the_policy_and_arguments_take_precedence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spans: Spans
) -> None:
    (tmp_path / "mita-otel.toml").write_text("[export.console]\nmax_width = 70\n")
    monkeypatch.chdir(tmp_path)
    for exporter, width in (
        (ConsoleWaterfallExporter(stream=(output := io.StringIO())), 70),
        (ConsoleWaterfallExporter(90, other := io.StringIO()), 90),
    ):
        root = spans.start("root")
        exporter.export([spans.end(spans.start("child", root)), spans.end(root)])
        written = (output if width == 70 else other).getvalue()
        assert max(map(len, written.splitlines())) == width


def test_a_record_of_a_span_is_the_record_of_its_line(spans: Spans, tmp_path: Path) -> None:
    root = spans.start("root", kind=SpanKind.SERVER)
    root.set_attributes({"list": ["a"], "number": 1.5})
    root.record_exception(ValueError("no"))
    root.set_status(trace.Status(trace.StatusCode.ERROR, "why"))
    child = spans.end(spans.start("child", root))
    finished = spans.end(root)
    path = tmp_path / "spans.jsonl"
    FileSpanExporter(path, 10**6).export([finished, child])
    assert list(read_spans(path)) == [SpanRecord.from_span(finished), SpanRecord.from_span(child)]
    assert SpanRecord.from_span(finished).events[0].attributes["exception.message"] == "no"
    assert not SpanRecord.from_span(child).is_local_root


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{}", "'start_ns' is missing"),
        ("[]", "not a JSON object"),
        ("{", "line 2"),
        ('{"start_ns": null}', "not a span"),
        (
            '{"start_ns": 1, "trace_id": "a", "span_id": "b", "name": "c", "kind": "d", "status": 7}',
            "not a span",
        ),
    ],
)
def test_the_error_names_a_line_that_is_not_a_span(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "spans.jsonl"
    path.write_text(f"\n{line}\n")
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        list(read_spans(path))
    assert str(error.value).startswith(f"{path}, line 2: ")


def test_a_terminal_gets_colours_at_its_own_width(spans: Spans, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "70")
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: True)
    exporter, _ = make(stream)
    root = spans.start("root")
    exporter.export([spans.end(spans.start("child", root)), spans.end(root)])
    assert "\x1b[1mroot\x1b[0m" in stream.getvalue()
    assert max(len(line) for line in re.sub(r"\x1b\[[\d;]*m", "", stream.getvalue()).splitlines()) == 70


def test_a_secret_that_a_later_span_shows_is_not_printed_in_the_spans_that_waited() -> None:
    redactor, stream = Redactor(), io.StringIO()
    exporter = ConsoleWaterfallExporter(100, stream, policy=settings(), redactor=redactor)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(RedactionProcessor(redactor, SimpleSpanProcessor(exporter)))
    tracer = provider.get_tracer("test")
    with tracer.start_as_current_span("POST /login", attributes={"password": "Efeu1234x"}):
        tracer.start_span("check Efeu1234x").end()
    provider.shutdown()
    assert "check [redacted:password]" in stream.getvalue()
