"""The only file that touches private names of OpenTelemetry, with a test for each assumption it makes.

Verified with the SDK 1.39 to 1.45 and the instrumentation package 0.60b0 to 0.66b1 (`tests/test_otel_compat.py`).
"""

from __future__ import annotations

import functools
import gzip
import inspect
import json
import sys
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from opentelemetry._logs import LoggerProvider as APILoggerProvider
from opentelemetry.metrics import MeterProvider as APIMeterProvider
from opentelemetry.sdk._logs import Logger, LoggerProvider, LogRecordLimits, LogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExporter, MetricReader, MetricsData
from opentelemetry.sdk.trace import SpanProcessor, Tracer, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import Sampler
from opentelemetry.trace import TracerProvider as APITracerProvider
from opentelemetry.util._once import Once

Patch = Callable[[object, str, object], None]
"""Sets an attribute, as `setattr` does."""


def sampler_from_environment() -> Sampler | None:
    """Return the sampler that `OTEL_TRACES_SAMPLER` names, by entry point; None if it names none.

    The provider's own constructor knows the built-in names only.
    """
    from opentelemetry.sdk import _configuration as sdk

    return sdk._import_sampler(sdk._get_sampler())


def id_generator_from_environment() -> IdGenerator | None:
    """Return the generator that `OTEL_PYTHON_ID_GENERATOR` names; None if there is no such entry point."""
    from opentelemetry.sdk import _configuration as sdk

    try:
        return sdk._import_id_generator(sdk._get_id_generator())
    except RuntimeError:
        return None


@functools.cache
def unlimited_log_records() -> LogRecordLimits:
    """Return limits that cut nothing. Releases before 1.44 have two limits and no value for none."""
    names = [name for name in inspect.signature(LogRecordLimits).parameters if name.startswith("max_")]
    return LogRecordLimits(**dict.fromkeys(names, sys.maxsize))


def log_record_length_limits(provider: object = None) -> tuple[int | None, int | None]:
    """Return the lengths at which attributes of log records are cut: the general one and their own. None: not cut.

    Args:
        provider: Its limits. None, or a release whose providers have none: those that the environment sets.
    """
    limits = getattr(provider, "_log_record_limits", None) or LogRecordLimits()
    return limits.max_attribute_length, getattr(limits, "max_log_record_attribute_length", None)


def span_length_limits(provider: TracerProvider) -> tuple[int | None, int | None]:
    """Return the lengths at which a provider cuts attributes of spans, and those of events and links. None: not cut."""
    limits = provider._span_limits
    return limits.max_span_attribute_length, limits.max_attribute_length


def log_record_limits(length: int | None) -> dict[str, Any]:
    """Return the argument of `LoggerProvider` that cuts attributes at another length than the environment says.

    Releases before 1.44 read the environment for each record: there the result is empty.
    """
    if "log_record_limits" not in inspect.signature(LoggerProvider).parameters:
        return {}
    names = [
        name for name in inspect.signature(LogRecordLimits).parameters if name.endswith("attribute_length")
    ]
    cut_at = LogRecordLimits.UNSET if length is None else length
    return {"log_record_limits": LogRecordLimits(**dict.fromkeys(names, cut_at))}


class AskedExporters(NamedTuple):
    """The exporters that a signal's variable names."""

    classes: dict[str, Callable[[], Any]]
    """By name, those that can be had. Of metrics they may be readers."""
    missing: dict[str, Exception]
    """By name, what became of the others when they were looked for."""


def asked_exporters(signal: Literal["metrics", "logs"]) -> AskedExporters:
    """Return what `OTEL_METRICS_EXPORTER` or `OTEL_LOGS_EXPORTER` names, without making an exporter."""
    from opentelemetry.sdk import _configuration as sdk

    asked = AskedExporters({}, {})
    for name in dict.fromkeys(_installed(signal)):
        if name in {"", "none"}:
            continue
        of = {signal: [name]}
        try:
            for found in sdk._import_exporters([], of.get("metrics", []), of.get("logs", [])):
                asked.classes.update(found)
        except Exception as error:  # noqa: BLE001 - it imports a third party's module
            asked.missing[name] = error
    return asked


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
        called: Receives the answer to each request over gRPC, and the body of a response.

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


def preferences_of(exporter: MetricExporter) -> tuple[Any, Any]:
    """Return the temporality and the aggregation that a metric exporter asks its reader for."""
    return exporter._preferred_temporality, exporter._preferred_aggregation


def put_before_reader(
    reader: MetricReader, redact: Callable[[MetricsData], MetricsData | None], patch: Patch = setattr
) -> None:
    """Let a metric reader receive what `redact` returns, and nothing where it returns None.

    A reader that is asked for metrics, as Prometheus' is, has no exporter that could be wrapped.
    """
    receive = reader._receive_metrics

    def receive_redacted(metrics_data: MetricsData, *args: Any, **kwargs: Any) -> None:
        safe = redact(metrics_data)
        if safe is not None:
            receive(safe, *args, **kwargs)

    patch(reader, "_receive_metrics", receive_redacted)


def skip_flush(reader: MetricReader) -> None:
    """Let a flush do nothing to a reader that is asked for metrics, as Prometheus' is.

    Its own `force_flush` would collect, keep the result, and show it before newer numbers when it is asked.
    """
    reader.force_flush = lambda timeout_millis=10_000: True  # type: ignore[method-assign]


def readers_of(provider: MeterProvider) -> tuple[MetricReader, ...]:
    """Return the readers that a host's MeterProvider has."""
    kept: Any = getattr(provider, "_metric_readers", None)
    # Older releases keep them in the configuration.
    return tuple(getattr(provider._sdk_config, "metric_readers", ()) if kept is None else kept)


def join_logger_provider(
    provider: LoggerProvider,
    ours: Sequence[LogRecordProcessor],
    wrap: Callable[[LogRecordProcessor], LogRecordProcessor],
    patch: Patch = setattr,
) -> Callable[[], None]:
    """Add processors to a host's LoggerProvider, and put something before each of the host's, also of those added later.

    Returns:
        A function that removes ours and what was put before the host's.
    """
    multi = provider._multi_log_record_processor
    wrapped: dict[int, tuple[LogRecordProcessor, LogRecordProcessor]] = {}
    """By the identity of what was put before it: that, and the host's processor."""

    def put_before(processor: LogRecordProcessor) -> LogRecordProcessor:
        outer = wrap(processor)
        wrapped[id(outer)] = (outer, processor)
        return outer

    with multi._lock:
        present = [put_before(one) for one in multi._log_record_processors]
        multi._log_record_processors = type(multi._log_record_processors)([*present, *ours])
    add = provider.add_log_record_processor
    patch(
        provider,
        "add_log_record_processor",
        lambda log_record_processor: add(put_before(log_record_processor)),
    )

    def leave() -> None:
        with multi._lock:
            left = [one for one in multi._log_record_processors if not any(one is own for own in ours)]
            hosts = [wrapped[id(one)][1] if id(one) in wrapped else one for one in left]
            multi._log_record_processors = type(multi._log_record_processors)(hosts)

    return leave


def _installed(signal: Literal["metrics", "logs"]) -> list[str]:
    """Names of the signal's exporters; `otlp` is the protocol asked for, else whichever is installed."""
    import os
    from importlib.metadata import entry_points

    from opentelemetry.sdk import _configuration as sdk

    names: list[str] = sdk._get_exporter_names(signal)
    if not names:
        return names  # without a look at the installed packages, which is slow
    asked = os.environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_PROTOCOL") or os.environ.get(
        "OTEL_EXPORTER_OTLP_PROTOCOL"
    )
    group = f"opentelemetry_{signal}_exporter"
    if asked or not entry_points(group=group, name="otlp_proto_http"):
        return names
    return ["otlp_proto_http" if name == "otlp_proto_grpc" else name for name in names]


def put_in_front(
    provider: TracerProvider,
    build: Callable[[tuple[SpanProcessor, ...]], SpanProcessor],
    add: Callable[[SpanProcessor], None],
    patch: Patch = setattr,
) -> Callable[[Sequence[SpanProcessor]], None]:
    """Make one processor the only one of a host's provider, with the present ones behind it.

    `add_span_processor` can only append, and the processors before ours would receive spans with secrets.

    Args:
        provider: The provider that the host made.
        build: Receives the present processors and returns the one that takes their place.
        add: Takes the place of the provider's `add_span_processor`, so that a later processor is behind ours as well.
        patch: Sets the attribute.

    Returns:
        A function that puts processors in the place of ours.
    """
    multi = provider._active_span_processor
    with multi._lock:
        front = build(tuple(multi._span_processors))
        multi._span_processors = (front,)
    patch(provider, "add_span_processor", add)

    def put_back(processors: Sequence[SpanProcessor]) -> None:
        with multi._lock:
            left = [one for one in multi._span_processors if one is not front]
            multi._span_processors = (*processors, *left)

    return put_back


def unwrap_provider(provider: Any) -> TracerProvider | None:
    """Return the SDK's provider if that is what `provider` is or wraps (as logfire's proxy does)."""
    for _ in range(3):
        if isinstance(provider, TracerProvider):
            return provider
        provider = getattr(provider, "provider", None)
    return None


def unset_tracer_provider(provider: APITracerProvider) -> None:
    """Let there be no global TracerProvider, as before `set_tracer_provider(provider)`."""
    from opentelemetry import trace

    if trace._TRACER_PROVIDER is provider:
        trace._TRACER_PROVIDER = None
        trace._TRACER_PROVIDER_SET_ONCE = Once()


def unset_meter_provider(provider: APIMeterProvider) -> None:
    """Let there be no global MeterProvider, as before `set_meter_provider(provider)`.

    Instruments that were made before it was set measure nothing until another provider is set.
    """
    from opentelemetry.metrics import _internal

    if _internal._METER_PROVIDER is provider:
        _internal._METER_PROVIDER = None
        _internal._METER_PROVIDER_SET_ONCE = Once()
        proxy = _internal._PROXY_METER_PROVIDER
        with proxy._lock:
            proxy._real_meter_provider = None
            for meter in proxy._meters:
                meter._real_meter = None


def forget_meters(name: str) -> None:
    """Let the next global MeterProvider make no instruments for meters of this name that exist now."""
    from opentelemetry.metrics import _internal

    proxy = _internal._PROXY_METER_PROVIDER
    with proxy._lock:
        proxy._meters[:] = [meter for meter in proxy._meters if meter.name != name]


def unset_logger_provider(provider: APILoggerProvider) -> None:
    """Let there be no global LoggerProvider, as before `set_logger_provider(provider)`."""
    from opentelemetry._logs import _internal

    if _internal._LOGGER_PROVIDER is provider:
        _internal._LOGGER_PROVIDER = None
        _internal._LOGGER_PROVIDER_SET_ONCE = Once()


def move_logger(logger: Logger, provider: LoggerProvider) -> None:
    """Let a logger that another provider made emit to this one."""
    logger._resource = provider.resource
    logger._multi_log_record_processor = provider._multi_log_record_processor


def move_tracer(tracer: Tracer, provider: TracerProvider) -> None:
    """Let a tracer that another provider made start its spans in this one."""
    tracer.sampler = provider.sampler
    tracer.resource = provider.resource
    tracer.span_processor = provider._active_span_processor
    tracer.id_generator = provider.id_generator


def put_aside_providers() -> Callable[[], None]:
    """Let there be no global providers, as in a process that has just started.

    Returns:
        A function that makes the providers of before the global ones again, also for instruments made since.
    """
    from opentelemetry import trace
    from opentelemetry._logs import _internal as logs
    from opentelemetry.metrics import _internal as metrics

    globals_: list[tuple[Any, str, Any]] = [
        (module, name, getattr(module, name))
        for module, signal in ((trace, "TRACER"), (logs, "LOGGER"), (metrics, "METER"))
        for name in (f"_{signal}_PROVIDER", f"_{signal}_PROVIDER_SET_ONCE")
    ]
    proxy = metrics._PROXY_METER_PROVIDER
    for module, name, _ in globals_:
        setattr(module, name, Once() if name.endswith("_ONCE") else None)
    with proxy._lock:
        before = proxy._real_meter_provider
        meters = [(meter, meter._real_meter) for meter in proxy._meters]
        instruments = [(one, one._real_instrument) for meter, _ in meters for one in meter._instruments]
        proxy._real_meter_provider = None
        _unbind(meter for meter, _ in meters)

    def restore() -> None:
        for module, name, value in globals_:
            setattr(module, name, value)
        with proxy._lock:
            known = {id(meter) for meter, _ in meters}
            new = [meter for meter in proxy._meters if id(meter) not in known]
            proxy._real_meter_provider = before
            proxy._meters[:] = [*(meter for meter, _ in meters), *new]
            _unbind(proxy._meters)
            for meter, real in meters:
                meter._real_meter = real
            for instrument, made in instruments:
                instrument._real_instrument = made
            if before is not None:
                for meter in new:
                    meter.on_set_meter_provider(before)

    return restore


def _unbind(meters: Iterable[Any]) -> None:
    for meter in meters:
        meter._real_meter = None
        for instrument in meter._instruments:
            instrument._real_instrument = None


def set_clock(clock_ns: Callable[[], int], patch: Patch = setattr) -> None:
    """Let spans and log records get their times from a clock.

    Args:
        clock_ns: Nanoseconds since the epoch.
        patch: Sets the attribute.
    """
    from opentelemetry._logs import _internal as api_logs
    from opentelemetry.sdk import trace
    from opentelemetry.sdk._logs import _internal as logs

    for module in (trace, logs, api_logs):
        if hasattr(module, "time_ns"):
            patch(module, "time_ns", clock_ns)


def has_meter_provider() -> bool:
    """Return whether somebody set a global MeterProvider."""
    from opentelemetry.metrics import _internal

    return _internal._METER_PROVIDER is not None


def has_logger_provider() -> bool:
    """Return whether somebody set a global LoggerProvider."""
    from opentelemetry._logs import _internal

    return _internal._LOGGER_PROVIDER is not None


class EngineListeners:
    """Adds the listeners of OpenTelemetry's SQLAlchemy package to single engines, and removes them.

    The package itself does that only once a process, and removes the listeners of all engines together.

    Args:
        scope: The instrumentation scope of the spans.
        provider: Makes the tracer. None: the global provider.

    Raises:
        ImportError: The package is not installed.
    """

    def __init__(self, scope: str, provider: APITracerProvider | None = None) -> None:
        from opentelemetry import metrics, trace
        from opentelemetry.instrumentation.sqlalchemy.engine import EngineTracer
        from opentelemetry.instrumentation.sqlalchemy.version import __version__

        self._engine_tracer: Any = EngineTracer
        self._tracer = trace.get_tracer(scope, __version__, provider)
        self._connections = metrics.get_meter(scope, __version__).create_up_down_counter(
            "db.client.connections.usage", unit="connections"
        )

    def add(self, engine: Any) -> None:
        """Let the package measure an engine that it does not measure yet."""
        self._engine_tracer(self._tracer, engine, self._connections)

    def remove(self, engine: Any) -> None:
        """Let the package measure the engine no more."""
        from sqlalchemy import event

        for entry in list(self._engine_tracer._remove_event_listener_params):
            reference, name, listener = entry
            if reference() is engine:
                event.remove(engine, name, listener)
                self._engine_tracer._dispose_of_event_listener(entry)


def statement_span(execution_context: Any) -> Any:
    """Return the span that OpenTelemetry's SQLAlchemy package made for a statement, or None."""
    return getattr(execution_context, "_otel_span", None)


def take_statement_span(execution_context: Any) -> Any:
    """Return that span, which the caller ends: the package will not."""
    span = statement_span(execution_context)
    if span is not None:
        execution_context._otel_span = None
    return span
