"""Encodes span trees for Sentry's OTLP endpoint: protobuf, many traces in one request.

Source: Sentry's OTLP ingestion, `/api/PROJECT/integration/otlp/v1/traces/`, with the DSN's key as `X-Sentry-Auth`.
OpenTelemetry's encoder needs about two microseconds for each attribute. Values with an OTLP field (resource, status,
scope) are therefore not repeated as attributes, and only the root has the attributes of the SDK. Relay ignores span
events, so they are sent as an attribute.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from opentelemetry.sdk.trace import ReadableSpan

from mita_otel._json import json_bytes
from mita_otel.errors import ConfigurationError
from mita_otel.processors.finished_spans import RewrittenSpan, estimated_bytes
from mita_otel.sentry.mapping.description import SpanDescription
from mita_otel.sentry.mapping.streamed_spans import SpanSegment

_MAX_BYTES: Final = 8_000_000
"""Maximum estimated bytes of one request. Sentry accepts 12 MiB (Relay, `max_container_size`)."""

Encode = Callable[[Sequence[ReadableSpan]], Any]


def otlp_encoder() -> Encode:
    """Return OpenTelemetry's encoder of spans.

    Raises:
        ConfigurationError: The encoder is not installed.
    """
    try:
        from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
    except ImportError as error:
        raise ConfigurationError(
            'sentry.protocol = "otlp" needs OpenTelemetry\'s encoder, which is not installed; '
            "install mita-otel[otlp], or set sentry.protocol to transactions"
        ) from error
    return encode_spans


def otlp_spans(segment: SpanSegment) -> list[ReadableSpan]:
    """Return a segment's spans in the form that Sentry expects over OTLP."""
    return [
        RewrittenSpan(
            span,
            name=segment.name if span is segment.root else described.description,
            attributes=_flat(_attributes(segment, span, described)),
            events=(),
        )
        for span, described in zip(segment.spans, segment.described, strict=True)
    ]


def _attributes(segment: SpanSegment, span: ReadableSpan, described: SpanDescription) -> dict[str, Any]:
    attributes = segment.attributes(span, described)
    if span is segment.root:
        return {**attributes, **segment.sender}
    if described.status == "ok":
        del attributes["sentry.status"]
    return attributes


def parts_of(spans: Sequence[ReadableSpan]) -> Iterator[list[ReadableSpan]]:
    """Yield the spans in parts that fit into one request."""
    part: list[ReadableSpan] = []
    size = 0
    for span in spans:
        size += estimated_bytes(span)
        if part and size > _MAX_BYTES:
            yield part
            part, size = [], estimated_bytes(span)
        part.append(span)
    if part:
        yield part


def otlp_request(encode: Encode, spans: Sequence[ReadableSpan]) -> bytes:
    """Return an export request with the spans, as protobuf."""
    return bytes(encode(spans).SerializeToString())


def _flat(attributes: dict[str, Any]) -> dict[str, Any]:
    """Return attributes for the OTLP encoder: without None, and with nested values as JSON."""
    return {
        name: json_bytes(value).decode() if _is_nested(value) else value
        for name, value in attributes.items()
        if value is not None
    }


def _is_nested(value: Any) -> bool:
    if isinstance(value, str):
        return False
    if isinstance(value, dict):
        return True
    if isinstance(value, list):
        kinds = {type(one) for one in value}
        return len(kinds) > 1 or not kinds <= {str, int, float, bool}
    return False
