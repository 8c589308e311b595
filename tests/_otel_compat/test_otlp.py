"""Private names of the OTLP exporters."""

from __future__ import annotations

import importlib

import pytest

from alerts.receivers import HttpReceiver, Reply
from e2e.grpc_receiver import GrpcReceiver
from mita_otel._otel_compat.otlp import GrpcAnswer, OtlpAnswer, ask_otlp, intercept_otlp


def test_one_request_of_an_otlp_exporter_returns_the_response() -> None:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    receiver = HttpReceiver()
    receiver.usual = Reply(503, "", {"Retry-After": "30"})
    exporter = OTLPSpanExporter(f"{receiver.url}/v1/traces", headers={"x-tenant": "bank"})
    try:
        heard = ask_otlp(exporter, 10)
        assert isinstance(heard, OtlpAnswer)
        assert (heard.endpoint, heard.status, heard.error) == (f"{receiver.url}/v1/traces", 503, None)
        assert heard.headers["retry-after"] == "30"
        [posted] = receiver.posted
        assert (posted.body, posted.headers["x-tenant"]) == (b"", "bank")
    finally:
        exporter.shutdown()
        receiver.close()
    unreachable = OTLPSpanExporter("http://127.0.0.1:1/v1/traces")
    away = ask_otlp(unreachable, 10)
    assert isinstance(away, OtlpAnswer) and away.status is None and away.error is not None
    unreachable.shutdown()
    assert ask_otlp(InMemorySpanExporter(), 10) is None


def test_one_request_of_a_grpc_otlp_exporter_returns_the_status() -> None:
    import grpc
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    receiver = GrpcReceiver()
    address = f"127.0.0.1:{receiver.port}"
    exporter = OTLPSpanExporter(f"http://{address}", headers={"x-tenant": "bank"})
    try:
        assert ask_otlp(exporter, 30) == GrpcAnswer(address, "OK", "")
        receiver.refuses = (grpc.StatusCode.PERMISSION_DENIED, "not you")
        assert ask_otlp(exporter, 30) == GrpcAnswer(address, "PERMISSION_DENIED", "not you")
        assert [one["x-tenant"] for one in receiver.metadata] == ["bank", "bank"]
    finally:
        exporter.shutdown()
        receiver.close()


@pytest.mark.parametrize(
    "path",
    [
        "proto.http.trace_exporter:OTLPSpanExporter",
        "proto.http._log_exporter:OTLPLogExporter",
        "proto.http.metric_exporter:OTLPMetricExporter",
        "proto.grpc.trace_exporter:OTLPSpanExporter",
        "proto.grpc._log_exporter:OTLPLogExporter",
        "proto.grpc.metric_exporter:OTLPMetricExporter",
    ],
)
def test_the_requests_of_each_otlp_exporter_can_be_intercepted(path: str) -> None:
    module, _, name = path.partition(":")
    exporter = getattr(importlib.import_module(f"opentelemetry.exporter.otlp.{module}"), name)()
    try:
        assert intercept_otlp(exporter, lambda url, send: send(url)[0], lambda *_: None)
    finally:
        exporter.shutdown()
    assert not intercept_otlp(object(), lambda url, send: None, lambda *_: None)
