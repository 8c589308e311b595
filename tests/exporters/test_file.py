"""The file exporter writes complete lines to a private, bounded file; a failing disk costs one message."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from mita_otel.exporters.file import FileSpanExporter


def finished_spans(count: int = 1) -> list[ReadableSpan]:
    memory = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    tracer = provider.get_tracer("test", "1.0")
    for number in range(count):
        with tracer.start_as_current_span("parent", kind=SpanKind.SERVER) as span:
            span.set_attributes({"number": number, "list": ["a", "b"], "data": b"\x01", "text": "ä\n"})
            span.add_event("event", {"x": True})
    return list(memory.get_finished_spans())


def lines_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_line_is_a_span_with_every_part(tmp_path: Path) -> None:
    [span] = finished_spans()
    path = tmp_path / "deep" / "spans.jsonl"
    assert FileSpanExporter(path, 10**6).export([span]) is SpanExportResult.SUCCESS
    [line] = lines_of(path)
    assert line["trace_id"] == f"{span.context.trace_id:032x}"
    assert (line["name"], line["kind"], line["parent_span_id"]) == ("parent", "SERVER", None)
    assert line["attributes"] == {"number": 0, "list": ["a", "b"], "data": "01", "text": "ä\n"}
    assert line["events"][0]["attributes"] == {"x": True}
    assert line["duration_ms"] == (line["end_ns"] - line["start_ns"]) / 1e6
    assert line["scope"] == {"name": "test", "version": "1.0"}
    assert path.stat().st_mode & 0o077 == 0


def test_a_full_file_is_rotated_and_disk_use_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "spans.jsonl"
    exporter = FileSpanExporter(path, 5000)
    for _ in range(50):
        assert exporter.export(finished_spans()) is SpanExportResult.SUCCESS
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["spans.jsonl", "spans.jsonl.1"]
    assert all(file.stat().st_size <= 5000 for file in files)
    assert all(lines_of(file) for file in files)


def test_two_exporters_and_many_threads_write_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "spans.jsonl"
    spans = finished_spans(20)
    exporters = [FileSpanExporter(path, 10**9) for _ in range(2)]
    threads = [
        threading.Thread(target=lambda one=one: [one.export(spans) for _ in range(20)])
        for one in exporters
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(lines_of(path)) == 20 * 20 * 8


def test_an_unwritable_path_is_logged_once_and_fails_the_export(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    exporter = FileSpanExporter(tmp_path / "file" / "spans.jsonl", 10**6)
    for _ in range(3):
        assert exporter.export(finished_spans()) is SpanExportResult.FAILURE
    assert len(caplog.records) == 1
    assert "MITA_OTEL_FILE" in caplog.text
    assert "spans.jsonl" in caplog.text


@pytest.mark.skipif(
    not Path("/dev/full").exists(), reason="this system has no /dev/full to stand for a full disk"
)
def test_a_full_disk_fails_the_export_without_an_exception() -> None:
    assert FileSpanExporter("/dev/full", 10**9).export(finished_spans()) is SpanExportResult.FAILURE
