"""Responses of OTLP backends: safe redirects are followed; every other failure is counted with cause and next step."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry._logs import LogRecord
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider

from mita_otel.policy import default_policy
from mita_otel.processors.finished_spans import RewrittenSpan
from mita_otel.processors.metric_redaction import RedactedMetricExporter
from mita_otel.processors.queues.export_queue import ExportQueue
from mita_otel.processors.queues.log_queue import LogQueue
from mita_otel.processors.queues.losses import Losses
from mita_otel.processors.queues.otlp_responses import why_not_followed
from mita_otel.redaction import Redactor

PARTIAL = ExportTraceServiceResponse(
    partial_success=ExportTracePartialSuccess(rejected_spans=2, error_message="attribute too long")
).SerializeToString()
POLICY = default_policy().export.queue


class Backend:
    """Answers each request to a path with a status, headers and a body."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        backend = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                backend.requests.append((self.path, dict(self.headers), body))
                status, headers, answer = backend.answers.get(self.path, (200, {}, b""))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_POST  # noqa: N815 - the name of http.server

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def answer(self, status: int, location: str = "", body: bytes = b"", path: str = "/v1/traces") -> None:
        self.answers[path] = (status, {"Location": location} if location else {}, body)


@pytest.fixture
def backend() -> Iterator[Backend]:
    backend = Backend()
    yield backend
    backend.server.shutdown()
    backend.server.server_close()


@pytest.fixture
def losses() -> Losses:
    return Losses(cool_down_s=60)


def spans(count: int) -> list[ReadableSpan]:
    provider = TracerProvider(shutdown_on_exit=False)
    made = [provider.get_tracer("test").start_span(f"span {number}") for number in range(count)]
    for span in made:
        span.end()
    provider.shutdown()
    return [span for span in made if isinstance(span, ReadableSpan)]


def export(exporter: OTLPSpanExporter, losses: Losses, batch: list[ReadableSpan]) -> ExportQueue:
    queue = ExportQueue("otlp", exporter, POLICY, losses, stop_timeout_s=5)
    for span in batch:
        queue.on_end(span)
    queue.force_flush()
    queue.shutdown()
    return queue


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 305, 307, 308, 400, 401, 404, 413, 500])
def test_spans_that_a_backend_did_not_take_are_counted(
    backend: Backend, losses: Losses, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    backend.answer(status, "https://elsewhere.example/v1/traces?key=hidden" if status < 304 else "")
    queue = export(OTLPSpanExporter(f"{backend.url}/v1/traces"), losses, spans(3))
    assert losses.counts() == {("exporter.otlp", "export_failed"): 3}
    line = next(text for text in caplog.messages if "telemetry lost" in text)
    assert f"OTLP at {backend.url}: answered {status}" in line
    steps = (
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "OTEL_EXPORTER_OTLP_HEADERS",
        "see its log",
        "lower export.queue.",
    )
    assert any(step in line for step in steps)
    assert "hidden" not in line
    assert f"answered {status}" in queue.deliveries.state.why
    assert {path for path, _, _ in backend.requests} == {"/v1/traces"}


@pytest.mark.parametrize("status", [307, 308])
@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip])
def test_a_redirect_on_the_same_host_is_followed_with_data_and_headers(
    backend: Backend, losses: Losses, status: int, compression: Compression
) -> None:
    backend.answer(status, "/otlp/v1/traces")
    exporter = OTLPSpanExporter(
        f"{backend.url}/v1/traces", headers={"authorization": "Bearer x"}, compression=compression
    )
    export(exporter, losses, spans(2))
    assert losses.counts() == {}
    (first, _, sent), (second, headers, sent_again) = backend.requests
    assert (first, second) == ("/v1/traces", "/otlp/v1/traces")
    assert sent == sent_again
    assert {name.lower(): value for name, value in headers.items()}["authorization"] == "Bearer x"


def test_a_redirect_to_itself_ends(backend: Backend, losses: Losses) -> None:
    backend.answer(307, "/v1/traces")
    export(OTLPSpanExporter(f"{backend.url}/v1/traces"), losses, spans(1))
    assert losses.counts() == {("exporter.otlp", "export_failed"): 1}
    assert len(backend.requests) == 4


URL = "http://otel.example:4318/v1/traces"


@pytest.mark.parametrize(
    ("url", "location", "status", "followed"),
    [
        (URL, "https://otel.example/v1/traces", 307, True),
        (URL, "https://OTEL.example.:8443/x", 308, True),
        (URL, "//otel.example:4318/x", 307, True),
        ("https://otel.example/v1/traces", "https://otel.example/v2", 308, True),
        ("https://otel.example/v1/traces", "http://otel.example/v1/traces", 307, False),
        ("https://otel.example/v1/traces", "/v2", 307, True),
        (URL, "https://other.example/v1/traces", 307, False),
        (URL, "https://otel.example.evil.example/", 308, False),
        (URL, "https://otel.example@evil.example/", 308, False),
        (URL, "https://user:pass@otel.example/", 308, False),
        (URL, "http://otel.example:9999/v1/traces", 307, False),
        (URL, "ftp://otel.example/v1/traces", 307, False),
        (URL, "http://otel.example:99999999/", 307, False),
        (URL, "http://[::1", 307, False),
        (URL, "", 307, False),
        (URL, "https://otel.example/v1/traces", 301, False),
        (URL, "https://otel.example/v1/traces", 302, False),
        (URL, "https://otel.example/v1/traces", 303, False),
    ],
)
def test_only_safe_redirects_are_followed(url: str, location: str, status: int, followed: bool) -> None:
    assert (why_not_followed(url, location, status) == "") is followed


@pytest.mark.parametrize(
    "body", [PARTIAL, b'{"partialSuccess": {"rejectedSpans": "2", "errorMessage": "attribute too long"}}']
)
def test_what_a_partial_success_rejects_is_counted(
    backend: Backend, losses: Losses, caplog: pytest.LogCaptureFixture, body: bytes
) -> None:
    backend.answer(200, body=body)
    export(OTLPSpanExporter(f"{backend.url}/v1/traces"), losses, spans(5))
    assert losses.counts() == {("exporter.otlp", "rejected"): 2}
    assert "rejected 2 item(s) (attribute too long)" in caplog.text


def test_a_response_that_is_not_otlp_is_a_success(backend: Backend, losses: Losses) -> None:
    backend.answer(200, body=b"<html>fine</html>")
    export(OTLPSpanExporter(f"{backend.url}/v1/traces"), losses, spans(1))
    assert losses.counts() == {}


def test_a_backend_that_is_not_there_is_named(losses: Losses, caplog: pytest.LogCaptureFixture) -> None:
    export(OTLPSpanExporter("http://127.0.0.1:9/v1/traces?key=hidden", timeout=0.2), losses, spans(1))
    assert losses.counts() == {("exporter.otlp", "export_failed"): 1}
    line = next(text for text in caplog.messages if "telemetry lost" in text)
    assert "OTLP at http://127.0.0.1:9: no response (Connection refused)" in line
    assert "hidden" not in line


def test_only_the_span_that_cannot_be_encoded_is_lost(
    backend: Backend, losses: Losses, caplog: pytest.LogCaptureFixture
) -> None:
    batch = spans(9)
    batch[4] = RewrittenSpan(batch[4], name=5)  # type: ignore[arg-type]
    with caplog.at_level(logging.CRITICAL, "opentelemetry"):
        export(OTLPSpanExporter(f"{backend.url}/v1/traces"), losses, batch)
    assert losses.counts() == {("exporter.otlp", "not_encodable"): 1}
    arrived = [ExportTraceServiceRequest.FromString(body) for _, _, body in backend.requests]
    names = [span.name for one in arrived for span in one.resource_spans[0].scope_spans[0].spans]
    assert names == [f"span {number}" for number in range(9) if number != 4]


def test_log_records_and_metrics_that_are_redirected_elsewhere_are_counted(
    backend: Backend, losses: Losses
) -> None:
    for path in ("/v1/logs", "/v1/metrics"):
        backend.answer(307, "http://elsewhere.example/", path=path)
    queue = LogQueue("otlp", OTLPLogExporter(f"{backend.url}/v1/logs"), POLICY, losses, stop_timeout_s=5)
    logs = LoggerProvider(shutdown_on_exit=False)
    logs.add_log_record_processor(queue)
    logs.get_logger("test").emit(LogRecord(body="hello"))
    logs.force_flush()
    logs.shutdown()
    exporter = RedactedMetricExporter(Redactor(), OTLPMetricExporter(f"{backend.url}/v1/metrics"), losses)
    metrics = MeterProvider([PeriodicExportingMetricReader(exporter)], shutdown_on_exit=False)
    metrics.get_meter("test").create_counter("n").add(1)
    metrics.force_flush()
    metrics.shutdown()
    counts = losses.counts()
    assert counts["logs.otlp", "export_failed"] == 1
    assert counts["metrics", "export_failed"] >= 1


def test_responses_over_grpc_are_counted_and_explained(
    losses: Losses, caplog: pytest.LogCaptureFixture
) -> None:
    import grpc
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as service

    class Servicer(service.TraceServiceServicer):
        def Export(  # noqa: N802 - the name of gRPC
            self, request: Any, context: grpc.ServicerContext
        ) -> ExportTraceServiceResponse:
            if len(request.resource_spans[0].scope_spans[0].spans) == 1:
                context.abort(grpc.StatusCode.UNAUTHENTICATED, "no token")
            answer: ExportTraceServiceResponse = ExportTraceServiceResponse.FromString(PARTIAL)
            return answer

    server = grpc.server(ThreadPoolExecutor(1))
    service.add_TraceServiceServicer_to_server(Servicer(), server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        export(GrpcExporter(f"http://127.0.0.1:{port}"), losses, spans(1))  # type: ignore[arg-type]
        export(GrpcExporter(f"http://127.0.0.1:{port}"), losses, spans(5))  # type: ignore[arg-type]
    finally:
        server.stop(None).wait()
    assert losses.counts() == {("exporter.otlp", "export_failed"): 1, ("exporter.otlp", "rejected"): 2}
    assert "answered UNAUTHENTICATED; access denied; check OTEL_EXPORTER_OTLP_HEADERS" in caplog.text
    assert "rejected 2 item(s) (attribute too long)" in caplog.text
