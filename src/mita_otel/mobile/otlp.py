"""OTLP/HTTP spans, as OpenTelemetry for Dart sends them: redacted, measured, and forwarded as protobuf.

Source: the OTLP specification, HTTP; protobuf, or JSON with hexadecimal ids. Sentry and the gateway accept OTLP at
`/api/{project}/integration/otlp/v1/traces`. Needs the extra `otlp`.
"""

from __future__ import annotations

import base64
import binascii
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson
from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan

from mita_otel import semconv
from mita_otel.mobile.app_spans import AppSpan
from mita_otel.mobile.envelope import EnvelopeError
from mita_otel.mobile.measurement import MeasuredSpan, Measurer
from mita_otel.mobile.otel_spans import span_of
from mita_otel.redaction import Redactor

_MAX_DEPTH: Final = 16
_CUT: Final = "…"
_IDS: Final = frozenset({"traceId", "spanId", "parentSpanId"})

Tally = Counter[str]


def read_request(body: bytes, content_type: str) -> ExportTraceServiceRequest:
    """Return the export request in a body.

    Args:
        body: The decompressed body.
        content_type: `application/x-protobuf` or `application/json`.

    Raises:
        EnvelopeError: The body is not an OTLP export request.
    """
    request = ExportTraceServiceRequest()
    try:
        if "json" in content_type:
            value = orjson.loads(body)
            if not isinstance(value, dict):
                raise EnvelopeError("bad_otlp", "the body is not an OTLP export request")
            ParseDict(_with_base64_ids(value, 0), request, ignore_unknown_fields=True)
        else:
            request.ParseFromString(body)
    except (
        DecodeError,
        ParseError,
        orjson.JSONDecodeError,
        RecursionError,
        ValueError,
        binascii.Error,
    ) as error:
        raise EnvelopeError("bad_otlp", "the body is not an OTLP export request") from error
    return request


def prepare_request(
    request: ExportTraceServiceRequest, redactor: Redactor, measuring: Measurer, tally: Tally
) -> list[MeasuredSpan]:
    """Redact a request in place, mark spans that exceeded their limit, and return the measured spans."""
    measured: list[MeasuredSpan] = []
    for resource_spans in request.resource_spans:
        _redact(resource_spans.resource.attributes, redactor, tally)
        for scope_spans in resource_spans.scope_spans:
            scope_spans.scope.name = redactor.text(scope_spans.scope.name, tally)
            _redact(scope_spans.scope.attributes, redactor, tally)
            for span in scope_spans.spans:
                _redact_span(span, redactor, tally)
            measured += _measure(scope_spans, measuring)
    return measured


def read_spans(payload: bytes, service: str) -> Iterator[ReadableSpan]:
    """Yield the spans of a prepared request as finished OpenTelemetry spans."""
    for resource_spans in ExportTraceServiceRequest.FromString(payload).resource_spans:
        resource = _resource(resource_spans, service)
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                found = _app_span(span)
                if found is not None:
                    yield span_of(found, resource)


def _redact_span(span: Span, redactor: Redactor, tally: Tally) -> None:
    span.name = redactor.text(span.name, tally)
    span.trace_state = redactor.text(span.trace_state, tally)
    span.status.message = redactor.text(span.status.message, tally)
    _redact(span.attributes, redactor, tally)
    for event in span.events:
        event.name = redactor.text(event.name, tally)
        _redact(event.attributes, redactor, tally)
    for link in span.links:
        link.trace_state = redactor.text(link.trace_state, tally)
        _redact(link.attributes, redactor, tally)


def _redact(attributes: Any, redactor: Redactor, tally: Tally) -> None:
    if not attributes:
        return
    values = {pair.key: _json_value(pair.value, 0) for pair in attributes}
    before = tally.total()
    safe = redactor.attributes(values, tally)
    if tally.total() == before and safe == values:
        return
    del attributes[:]
    for key, value in safe.items():
        _write(attributes.add(key=key).value, value)


def _measure(scope_spans: ScopeSpans, measuring: Measurer) -> list[MeasuredSpan]:
    pairs = [(found, span) for span in scope_spans.spans if (found := _app_span(span)) is not None]
    by_id = {id(found): span for found, span in pairs}
    measured = measuring.measure([found for found, _ in pairs])
    for found, one in measured:
        if one.verdict.breaches:
            for key, value in one.verdict.breaches[0].attributes().items():
                _write(by_id[id(found)].attributes.add(key=key).value, value)
    return [one for _, one in measured]


def _app_span(span: Span) -> AppSpan | None:
    if len(span.trace_id) != 16 or len(span.span_id) != 8 or not any(span.trace_id) or not any(span.span_id):
        return None
    data = {pair.key: _json_value(pair.value, 0) for pair in span.attributes}
    op = data.get(semconv.SENTRY_OP)
    if not isinstance(op, str):
        is_request = span.kind == Span.SPAN_KIND_CLIENT and semconv.first(data, semconv.HTTP_METHOD)
        op = "http.client" if is_request else ""
    return AppSpan(
        {},
        span.name,
        op,
        data,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex() if len(span.parent_span_id) == 8 else "",
        span.start_time_unix_nano / 1e9,
        span.end_time_unix_nano / 1e9,
        failed=span.status.code == Status.STATUS_CODE_ERROR,
        status=span.status.message,
        is_root=not any(span.parent_span_id),
    )


def _resource(resource_spans: ResourceSpans, service: str) -> Resource:
    said = {pair.key: _json_value(pair.value, 0) for pair in resource_spans.resource.attributes}
    return Resource({**said, semconv.SERVICE_NAME: service})


def _json_value(value: AnyValue, depth: int) -> Any:
    kind = value.WhichOneof("value")
    if depth > _MAX_DEPTH:
        return _CUT
    if kind == "array_value":
        return [_json_value(one, depth + 1) for one in value.array_value.values]
    if kind == "kvlist_value":
        return {pair.key: _json_value(pair.value, depth + 1) for pair in value.kvlist_value.values}
    return getattr(value, kind) if kind else None


def _write(target: AnyValue, value: Any) -> None:
    if isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, int) and -(2**63) <= value < 2**63:
        target.int_value = value
    elif isinstance(value, float):
        target.double_value = value
    elif isinstance(value, bytes):
        target.bytes_value = value
    elif isinstance(value, Mapping):
        target.kvlist_value.SetInParent()
        for key, member in value.items():
            _write(target.kvlist_value.values.add(key=str(key)).value, member)
    elif isinstance(value, list | tuple):
        target.array_value.SetInParent()
        for member in value:
            _write(target.array_value.values.add(), member)
    elif value is not None:
        target.string_value = str(value)


def _with_base64_ids(value: Any, depth: int) -> Any:
    """Return JSON with its hexadecimal ids in base64, as protobuf's JSON format encodes bytes."""
    if depth > 4 * _MAX_DEPTH:
        raise EnvelopeError("bad_otlp", "the body is nested too deeply")
    if isinstance(value, list):
        return [_with_base64_ids(one, depth + 1) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        key: base64.b64encode(bytes.fromhex(member)).decode()
        if key in _IDS and isinstance(member, str)
        else _with_base64_ids(member, depth + 1)
        for key, member in value.items()
    }
