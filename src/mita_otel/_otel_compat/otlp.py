"""OTLP exporters: one request that tests the endpoint, and functions of ours around each request."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from opentelemetry.sdk.trace.export import SpanExporter


class OtlpAnswer(NamedTuple):
    """What an OTLP endpoint made of an empty request, which is a valid one."""

    endpoint: str
    status: int | None
    """None: nothing was heard."""
    headers: Mapping[str, str]
    """By name in small letters."""
    error: Exception | None
    """Why nothing was heard."""
    body: bytes = b""


class GrpcAnswer(NamedTuple):
    """What an endpoint of OTLP over gRPC made of an empty request."""

    endpoint: str
    """Host and port."""
    code: str
    """The status code's name, as in `OK` (gRPC's "Status codes and their use")."""
    details: str


def ask_otlp(exporter: SpanExporter, timeout_s: float) -> OtlpAnswer | GrpcAnswer | None:
    """Post an empty request the way that an OTLP exporter goes, once: `export` tries again, and only logs why not.

    Args:
        exporter: OpenTelemetry's.
        timeout_s: Seconds that it may take.

    Returns:
        None: It speaks neither HTTP nor gRPC.
    """
    client = getattr(exporter, "_client", None)
    if hasattr(client, "Export"):
        return _ask_over_grpc(exporter, timeout_s)
    transport = getattr(client, "_transport", None)
    if hasattr(exporter, "_session"):
        return _ask_in_session(exporter, timeout_s)
    if client is None or transport is None:
        return None
    body = client._compress(b"")
    result = transport.request(
        "POST", client._endpoint, headers=client._headers, data=body, timeout=timeout_s
    )
    headers = (
        {} if result.error is not None else {name.lower(): text for name, text in result.headers().items()}
    )
    return OtlpAnswer(client._endpoint, result.status_code, headers, result.error)


def _ask_in_session(exporter: Any, timeout_s: float) -> OtlpAnswer:
    """Ask as exporters before 1.44 do: in a session of requests that has the headers."""
    empty = {"gzip": gzip.compress(b""), "deflate": zlib.compress(b"")}.get(exporter._compression.value, b"")
    try:
        response = exporter._session.post(
            exporter._endpoint,
            data=empty,
            timeout=timeout_s,
            verify=exporter._certificate_file,
            cert=exporter._client_cert,
        )
    except Exception as error:  # noqa: BLE001 - the answer says what went wrong
        return OtlpAnswer(exporter._endpoint, None, {}, error)
    headers = {name.lower(): text for name, text in response.headers.items()}
    return OtlpAnswer(exporter._endpoint, response.status_code, headers, None)


def _ask_over_grpc(exporter: Any, timeout_s: float) -> GrpcAnswer:
    import grpc
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    empty = ExportTraceServiceRequest()
    try:
        exporter._client.Export(empty, metadata=exporter._headers, timeout=timeout_s)
    except grpc.RpcError as error:
        # A call that failed is both the error and the call.
        return GrpcAnswer(exporter._endpoint, error.code().name, error.details() or "")
    return GrpcAnswer(exporter._endpoint, "OK", "")


PostOtlp = Callable[[str, Callable[[str], tuple[Any, OtlpAnswer]]], Any]
"""Posts a request: receives its URL, and a function that posts it to a URL and returns the exporter's own result."""


def intercept_otlp(exporter: object, post: PostOtlp, called: Callable[[GrpcAnswer, bytes], object]) -> bool:
    """Let the requests of one of OpenTelemetry's OTLP exporters pass through functions of ours.

    Args:
        exporter: An exporter of any signal.
        post: Posts each request over HTTP.
        called: Receives the answer to each request over gRPC, and the body of a response. Its exception ends the export.

    Returns:
        Whether it is an OTLP exporter that is known.
    """
    if not any(one.__module__.startswith("opentelemetry.exporter.otlp.") for one in type(exporter).__mro__):
        return False
    known: Any = exporter
    client: Any = getattr(known, "_client", None)
    if hasattr(known, "_session"):  # before 1.44
        known._session = _OtlpSession(known._session, post)
    elif hasattr(client, "_transport"):
        client._transport = _OtlpTransport(client._transport, post)
    elif hasattr(client, "Export") and hasattr(known, "_stub"):
        stub = known._stub
        # It makes a new stub when it connects again.
        known._stub = lambda channel: _OtlpStub(stub(channel), known._endpoint, called)
        known._client = _OtlpStub(client, known._endpoint, called)
    else:
        return False
    return True


class _Delegate:
    """Has every attribute of another object, but those that a subclass defines."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class _OtlpTransport(_Delegate):
    """The transport of an OTLP exporter over HTTP since 1.44."""

    def __init__(self, inner: Any, post: PostOtlp) -> None:
        super().__init__(inner)
        self._post = post

    def request(self, method: str, url: str, **kwargs: Any) -> Any:
        def send(target: str) -> tuple[Any, OtlpAnswer]:
            result = self._inner.request(method, target, **kwargs)
            if result.error is not None or result.status_code is None:
                return result, OtlpAnswer(target, None, {}, result.error)
            headers = {name.lower(): text for name, text in result.headers().items()}
            return result, OtlpAnswer(target, result.status_code, headers, None, result.content())

        return self._post(url, send)


class _OtlpSession(_Delegate):
    """The session of requests of an OTLP exporter over HTTP before 1.44, which follows redirects with a GET."""

    def __init__(self, inner: Any, post: PostOtlp) -> None:
        super().__init__(inner)
        self._post = post

    def post(self, url: str, **kwargs: Any) -> Any:
        def send(target: str) -> tuple[Any, OtlpAnswer]:
            response = self._inner.post(target, **{**kwargs, "allow_redirects": False})
            headers = {name.lower(): text for name, text in response.headers.items()}
            return response, OtlpAnswer(target, response.status_code, headers, None, response.content)

        return self._post(url, send)


class _OtlpStub(_Delegate):
    """The stub of an OTLP exporter over gRPC."""

    def __init__(self, inner: Any, endpoint: str, called: Callable[[GrpcAnswer, bytes], object]) -> None:
        super().__init__(inner)
        self._endpoint = endpoint
        self._called = called

    def Export(self, *args: Any, **kwargs: Any) -> Any:  # noqa: N802 - gRPC's name
        try:
            response = self._inner.Export(*args, **kwargs)
        except Exception as error:
            code = getattr(error, "code", lambda: None)()
            details = getattr(error, "details", lambda: "")()
            self._called(GrpcAnswer(self._endpoint, getattr(code, "name", "UNKNOWN"), details or ""), b"")
            raise
        self._called(GrpcAnswer(self._endpoint, "OK", ""), response.SerializeToString())
        return response


def rejected_by(body: bytes) -> tuple[int, str]:
    """Return how many items a backend rejected by a partial success, and its message.

    The responses of the three signals differ in names only.

    Args:
        body: The body of the response, as protobuf or JSON.
    """
    try:
        if body.lstrip()[:1] == b"{":
            partial = json.loads(body).get("partialSuccess") or {}
            counts = [int(value) for key, value in partial.items() if key.startswith("rejected")]
            return max([0, *counts]), str(partial.get("errorMessage") or "")
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

        success = ExportTraceServiceResponse.FromString(body).partial_success
    except Exception:  # noqa: BLE001 - a body of another kind names no rejected items
        return 0, ""
    return max(0, success.rejected_spans), success.error_message
