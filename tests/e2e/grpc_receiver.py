"""A receiver of OTLP over gRPC on 127.0.0.1."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2, logs_service_pb2_grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc


class GrpcReceiver:
    """Stores received requests.

    Args:
        certificate: Its certificate and key, in PEM form. None: it speaks no TLS.
    """

    def __init__(self, certificate: tuple[bytes, bytes] | None = None) -> None:
        self.requests: list[Any] = []
        self.metadata: list[dict[str, str]] = []
        self.refuses: tuple[grpc.StatusCode, str] | None = None
        self._changed = threading.Condition()
        self._threads = ThreadPoolExecutor(4)
        self._server = grpc.server(self._threads)
        traces, metrics, logs = _Traces(self), _Metrics(self), _Logs(self)
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(traces, self._server)
        metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(metrics, self._server)
        logs_service_pb2_grpc.add_LogsServiceServicer_to_server(logs, self._server)
        if certificate is None:
            self.port = self._server.add_insecure_port("127.0.0.1:0")
        else:
            chain, key = certificate
            self.port = self._server.add_secure_port(
                "127.0.0.1:0", grpc.ssl_server_credentials([(key, chain)])
            )
        self._server.start()

    def take(self, request: Any, context: Any, answer: Any) -> Any:
        with self._changed:
            self.requests.append(request)
            self.metadata.append({pair.key: pair.value for pair in context.invocation_metadata()})
            self._changed.notify_all()
        if self.refuses is not None:
            context.abort(*self.refuses)
        return answer

    @property
    def raw(self) -> bytes:
        """Return all received requests."""
        with self._changed:
            return b"\n".join(request.SerializeToString() for request in self.requests)

    def spans(self) -> list[Any]:
        return self._parts("resource_spans", "scope_spans", "spans")

    def metrics(self) -> list[Any]:
        return self._parts("resource_metrics", "scope_metrics", "metrics")

    def logs(self) -> list[Any]:
        return self._parts("resource_logs", "scope_logs", "log_records")

    def wait_for(self, predicate: Callable[[GrpcReceiver], object], timeout: float = 60) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: predicate(self), timeout), "waited in vain"

    def close(self) -> None:
        self._server.stop(0).wait(60)
        self._threads.shutdown()

    def _parts(self, resources: str, scopes: str, parts: str) -> list[Any]:
        with self._changed:
            return [
                part
                for request in self.requests
                for resource in getattr(request, resources, ())
                for scope in getattr(resource, scopes)
                for part in getattr(scope, parts)
            ]


class _Traces(trace_service_pb2_grpc.TraceServiceServicer):  # type: ignore[misc]
    def __init__(self, receiver: GrpcReceiver) -> None:
        self._receiver = receiver

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - the service's name
        return self._receiver.take(request, context, trace_service_pb2.ExportTraceServiceResponse())


class _Metrics(metrics_service_pb2_grpc.MetricsServiceServicer):  # type: ignore[misc]
    def __init__(self, receiver: GrpcReceiver) -> None:
        self._receiver = receiver

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - the service's name
        return self._receiver.take(request, context, metrics_service_pb2.ExportMetricsServiceResponse())


class _Logs(logs_service_pb2_grpc.LogsServiceServicer):  # type: ignore[misc]
    def __init__(self, receiver: GrpcReceiver) -> None:
        self._receiver = receiver

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - the service's name
        return self._receiver.take(request, context, logs_service_pb2.ExportLogsServiceResponse())
