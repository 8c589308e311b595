"""Exporters of mita-otel, the SDK and third parties, by name. Each unavailable one is one problem."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SpanExporter, SpanExportResult

from mita_otel.exporters.memory import MemorySpanExporter
from mita_otel.exporters.registry import (
    ExporterUnavailableError,
    exporter_names,
    find_exporters,
    make_otlp_exporter,
    why_missing,
)


class Ours(SpanExporter):
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return SpanExportResult.SUCCESS


def refuse() -> SpanExporter:
    raise ExporterUnavailableError("it is Sunday; come back on Monday")


def explode() -> SpanExporter:
    raise ValueError("boom")


def test_names_and_instances_keep_the_requested_order() -> None:
    instance = MemorySpanExporter(1)
    found = find_exporters(["ours", instance, " none ", "", "ours"], {"ours": Ours})
    assert [name for name, _ in found.exporters] == ["ours", "MemorySpanExporter"]
    assert found.exporters[1][1] is instance
    assert found.problems == []


@pytest.mark.parametrize(
    ("item", "called"), [(None, "NoneType"), (MemorySpanExporter, "the class MemorySpanExporter"), (5, "int")]
)
def test_an_invalid_item_is_one_problem_and_the_others_work(item: object, called: str) -> None:
    found = find_exporters([item, "ours"], {"ours": Ours})
    assert [name for name, _ in found.exporters] == ["ours"]
    [problem] = found.problems
    assert problem.startswith(f"{called} is not an exporter; pass names")


def test_exporters_of_mita_otel_take_precedence_over_the_sdks() -> None:
    assert isinstance(find_exporters(["console"], {}).exporters[0][1], ConsoleSpanExporter)
    assert isinstance(find_exporters(["console"], {"console": Ours}).exporters[0][1], Ours)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("consle", "no exporter is called 'consle'; did you mean 'console'?"),
        ("sunday", "it is Sunday; come back on Monday"),
        ("broken", "exporter 'broken' could not be created (ValueError: boom)"),
    ],
)
def test_an_unavailable_exporter_is_one_problem_and_the_others_work(name: str, expected: str) -> None:
    found = find_exporters([name, "ours"], {"ours": Ours, "sunday": refuse, "broken": explode})
    assert [one for one, _ in found.exporters] == ["ours"]
    assert len(found.problems) == 1
    assert found.problems[0].startswith(expected)


def test_a_third_partys_exporter_is_found_by_its_entry_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bank_exporter.py").write_text(
        "from opentelemetry.sdk.trace.export import SpanExporter\nclass Bank(SpanExporter): pass\nclass Not: pass\n"
    )
    info = tmp_path / "bank_exporter-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bank-exporter\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[opentelemetry_traces_exporter]\nbank = bank_exporter:Bank\nnot = bank_exporter:Not\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        found = find_exporters(["bank", "not"], {})
        assert [type(exporter).__name__ for _, exporter in found.exporters] == ["Bank"]
        assert found.problems == ["exporter 'not' (bank_exporter:Not) is not an OpenTelemetry SpanExporter"]
        assert "bank" in exporter_names({})
    finally:
        sys.modules.pop("bank_exporter", None)


def test_entry_points_of_mita_otel_can_be_loaded() -> None:
    assert {"file", "memory", "sentry"} <= set(exporter_names({}))


@pytest.mark.parametrize("env", [{}, {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}])
def test_otlp_uses_http_unless_grpc_is_requested(env: dict[str, str]) -> None:
    exporter = make_otlp_exporter(env)
    assert isinstance(exporter, OTLPSpanExporter)
    exporter.shutdown()


def test_grpc_is_available() -> None:
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter

    exporter = make_otlp_exporter({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})
    assert isinstance(exporter, GrpcExporter)
    exporter.shutdown()


@pytest.mark.parametrize(
    ("protocol", "hint"),
    [
        ("grpc", r"install mita-otel\[otlp-grpc\]"),
        ("http/protobuf", r"install mita-otel\[otlp\]"),
    ],
)
def test_an_unavailable_protocol_names_the_package_to_install(
    monkeypatch: pytest.MonkeyPatch, protocol: str, hint: str
) -> None:
    monkeypatch.setattr("mita_otel.exporters.registry.entry_points", lambda **_: [])
    with pytest.raises(ExporterUnavailableError, match=hint):
        make_otlp_exporter({"OTEL_EXPORTER_OTLP_PROTOCOL": protocol})


@pytest.mark.parametrize(
    ("name", "there", "why"),
    [
        ("consle", ["console"], "no exporter is called 'consle'; did you mean 'console'? known: console, none"),
        ("zipkin", ["otlp_proto_http", "otlp_proto_grpc"], "no exporter is called 'zipkin'; known: none, otlp"),
        ("otlp_proto_grpc", [], "the otlp exporter is not installed; install mita-otel[otlp-grpc]"),
        ("prometheus", [], "the prometheus exporter is not installed; install mita-otel[prometheus]"),
        ("prometheus", ["prometheus"], "exporter 'prometheus' cannot be loaded (ImportError: no module named boom)"),
    ],
)  # fmt: skip
def test_a_missing_metrics_exporter_is_explained(
    monkeypatch: pytest.MonkeyPatch, name: str, there: list[str], why: str
) -> None:
    points = [EntryPoint(one, "it:It", "opentelemetry_metrics_exporter") for one in there]
    monkeypatch.setattr("mita_otel.exporters.registry.entry_points", lambda **_: points)
    assert why_missing("metrics", name, ImportError("no module named boom")) == why
