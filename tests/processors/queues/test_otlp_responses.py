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
        self.max_bytes = -1
        """Smaller requests are accepted."""
        backend = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                backend.requests.append((self.path, dict(self.headers), body))
                status, headers, answer = backend.answers.get(self.path, (200, {}, b""))
                if len(body) <= backend.max_bytes:
                    status, headers, answer = 200, {}, b""
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


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 305, 307, 308, 400, 401, 404, 500])
def test_spans_refused_by_a_backend_are_counted(
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


def test_a_redirect_loop_ends(backend: Backend, losses: Losses) -> None:
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
def test_spans_rejected_in_a_partial_success_are_counted(
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


def test_an_unreachable_backend_is_named_in_the_log(losses: Losses, caplog: pytest.LogCaptureFixture) -> None:
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


def names_in(requests: list[tuple[str, dict[str, str], bytes]], max_bytes: int) -> list[str]:
    """Return the names of the spans in requests that a backend accepts."""
    accepted = [
        ExportTraceServiceRequest.FromString(body) for _, _, body in requests if len(body) <= max_bytes
    ]
    return [span.name for one in accepted for span in one.resource_spans[0].scope_spans[0].spans]


TOO_LARGE = [
    (413, b"<html>413 Request Entity Too Large</html>"),
    (400, b"http: request body too large"),
    (400, b"\x08\x03\x12\x2aRequest payload size exceeds the limit: 4 MB"),
]


@pytest.mark.parametrize(("status", "body"), TOO_LARGE)
def test_a_batch_that_is_too_large_is_sent_in_parts(
    backend: Backend, losses: Losses, status: int, body: bytes
) -> None:
    backend.answer(status, body=body)
    backend.max_bytes = 1000
    batch = spans(64)
    export(OTLPSpanExporter(f"{backend.url}/v1/traces"), losses, batch)
    assert losses.counts() == {}
    assert names_in(backend.requests, backend.max_bytes) == [span.name for span in batch]


def test_only_the_span_that_is_too_large_is_lost_and_named(
    backend: Backend, losses: Losses, caplog: pytest.LogCaptureFixture
) -> None:
    backend.answer(413)
    backend.max_bytes = 5000
    batch = spans(9)
    batch[4] = RewrittenSpan(batch[4], name="POST /api/import", attributes={"body": "x" * 6000})
    export(OTLPSpanExporter(f"{backend.url}/v1/traces"), losses, batch)
    assert losses.counts() == {("exporter.otlp", "too_large"): 1}
    assert names_in(backend.requests, backend.max_bytes) == [f"span {n}" for n in range(9) if n != 4]
    line = next(text for text in caplog.messages if "telemetry lost" in text)
    assert (
        f"OTLP at {backend.url}: answered 413 to the span 'POST /api/import' alone; it is too large" in line
    )


def test_a_backend_that_refuses_every_size_gets_a_bounded_number_of_requests(
    backend: Backend, losses: Losses
) -> None:
    backend.answer(413)
    export(OTLPSpanExporter(f"{backend.url}/v1/traces"), losses, spans(400))
    assert losses.counts() == {("exporter.otlp", "too_large"): 400}
    assert len(backend.requests) < 80


def test_log_records_that_are_too_large_together_are_sent_in_parts(backend: Backend, losses: Losses) -> None:
    backend.answer(413, path="/v1/logs")
    backend.max_bytes = 4000
    queue = LogQueue("otlp", OTLPLogExporter(f"{backend.url}/v1/logs"), POLICY, losses, stop_timeout_s=5)
    logs = LoggerProvider(shutdown_on_exit=False)
    logs.add_log_record_processor(queue)
    for size in (1000, 1000, 6000, 1000, 1000):
        logs.get_logger("test").emit(LogRecord(body="x" * size))
    logs.force_flush()
    logs.shutdown()
    assert losses.counts() == {("logs.otlp", "too_large"): 1}
    assert sum(body.count(b"x" * 1000) for _, _, body in backend.requests if len(body) <= 4000) == 4


def test_metrics_that_are_too_large_together_are_sent_in_parts(backend: Backend, losses: Losses) -> None:
    backend.answer(413, path="/v1/metrics")
    backend.max_bytes = 3000
    exporter = RedactedMetricExporter(Redactor(), OTLPMetricExporter(f"{backend.url}/v1/metrics"), losses)
    metrics = MeterProvider([PeriodicExportingMetricReader(exporter)], shutdown_on_exit=False)
    for meter in ("one", "two"):
        counter = metrics.get_meter(meter).create_counter("payments")
        for number in range(60):
            counter.add(1, {"merchant": f"{meter}-{number}"})
    assert metrics.force_flush()
    accepted = b"".join(body for _, _, body in backend.requests if len(body) <= backend.max_bytes)
    backend.max_bytes = 1_000_000
    metrics.shutdown()
    for meter in ("one", "two"):
        assert all(f"{meter}-{number}".encode() in accepted for number in range(60))
    assert losses.counts() == {}


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


@pytest.mark.parametrize(
    ("code", "details"),
    [
        ("RESOURCE_EXHAUSTED", "grpc: received message larger than max (5 vs. 4)"),
        ("RESOURCE_EXHAUSTED", "gRPC message exceeds maximum size 4194304: 5000000"),
        ("RESOURCE_EXHAUSTED", "Received message exceeds the maximum configured message size."),
        ("OUT_OF_RANGE", "Error, decoded message length too large: found 5 bytes, the limit is: 4 bytes"),
        ("UNKNOWN", "Received http2 header with status: 413"),
    ],
)
def test_a_message_over_grpc_that_is_too_large_is_sent_in_parts(
    losses: Losses, caplog: pytest.LogCaptureFixture, code: str, details: str
) -> None:
    import grpc
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as service

    arrived: list[str] = []

    class Servicer(service.TraceServiceServicer):
        def Export(  # noqa: N802 - the name of gRPC
            self, request: Any, context: grpc.ServicerContext
        ) -> ExportTraceServiceResponse:
            sent = request.resource_spans[0].scope_spans[0].spans
            if len(sent) > 3 or any(span.name == "span 6" for span in sent):
                context.abort(grpc.StatusCode[code], details)
            arrived.extend(span.name for span in sent)
            return ExportTraceServiceResponse()

    server = grpc.server(ThreadPoolExecutor(1))
    service.add_TraceServiceServicer_to_server(Servicer(), server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        export(GrpcExporter(f"http://127.0.0.1:{port}"), losses, spans(10))  # type: ignore[arg-type]
    finally:
        server.stop(None).wait()
    assert losses.counts() == {("exporter.otlp", "too_large"): 1}
    assert arrived == [f"span {number}" for number in range(10) if number != 6]
    assert f"answered {code} to the span 'span 6' alone" in caplog.text
    assert "retrying" not in caplog.text


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
