"""Everything that was or would be exported, in the form of each exporter, to be searched for secrets."""

from __future__ import annotations

import base64
import importlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.metrics.export import MetricsData
from opentelemetry.sdk.trace import ReadableSpan
from sentry_sdk.envelope import Envelope

from mita_otel.exporters.span_record import SpanRecord
from mita_otel.exporters.waterfall import Waterfall
from mita_otel.processors.finished_spans import span_json
from mita_otel.store.rows import error_row, span_row

_SHORTEST: Final = 3
_AROUND: Final = 30
"""Characters before and after a secret that a message shows."""
_OTLP: Final = "opentelemetry.exporter.otlp.proto.common"
_WIDE: Final = 100_000
"""Columns of a waterfall in which nothing is cut."""


def sentry_events(bodies: Iterable[bytes]) -> list[dict[str, Any]]:
    """Return the errors in the bodies of requests to Sentry."""
    events: list[dict[str, Any]] = []
    for body in list(bodies):
        if body.startswith(b"{"):  # an OTLP request is protobuf, and has no errors
            items = Envelope.deserialize(body).items
            events += [json.loads(item.get_bytes()) for item in items if item.type == "event"]
    return events


class Exported:
    """What was exported.

    Args:
        spans: Redacted spans.
        logs: Redacted log records.
        metrics: Redacted metrics.
        sentry: Bodies of requests to Sentry.
        others: Other objects by what they are.
    """

    def __init__(
        self,
        spans: Sequence[ReadableSpan],
        logs: Sequence[ReadableLogRecord],
        metrics: MetricsData | None,
        sentry: Sequence[bytes],
        others: Mapping[str, Sequence[object]],
    ) -> None:
        self._rendered = list(_rendered(spans, logs, metrics, sentry, others))

    def places_of(self, secret: str) -> Iterator[str]:
        """Yield each place that contains a secret, without the secret.

        Args:
            secret: At least three characters.

        Raises:
            ValueError: The secret is shorter, so it would be found by chance.
        """
        if len(secret) < _SHORTEST:
            raise ValueError(f"assert_no_secrets() needs values of at least {_SHORTEST} characters")
        for place, data in self._rendered:
            for spelling in _spellings(secret):
                at = data.find(spelling)
                if at >= 0:
                    before = data[max(0, at - _AROUND) : at].decode("utf-8", "replace")
                    after = data[at + len(spelling) :][:_AROUND].decode("utf-8", "replace")
                    yield f"{place}: {before!r} SECRET {after!r}"
                    break


def _rendered(
    spans: Sequence[ReadableSpan],
    logs: Sequence[ReadableLogRecord],
    metrics: MetricsData | None,
    sentry: Sequence[bytes],
    others: Mapping[str, Sequence[object]],
) -> Iterator[tuple[str, bytes]]:
    for span in spans:
        yield f"span {span.name!r}, file exporter", _json(span_json(span))
        yield f"span {span.name!r}, store exporter", _json(span_row(span))
    if spans:
        picture = Waterfall([SpanRecord.from_span(span) for span in spans], max_rows=len(spans))
        yield "console exporter", picture.drawn(_WIDE).encode()
    for record in logs:
        scope = record.instrumentation_scope
        name = f"log record of {scope.name if scope else '(no logger)'}"
        yield f"{name}, console exporter", record.to_json().encode()
        yield f"{name}, store exporter", _json(error_row(record))
    if metrics is not None:
        yield "metrics, console exporter", metrics.to_json().encode()
    yield from _otlp("trace_encoder", "encode_spans", spans)
    yield from _otlp("_log_encoder", "encode_logs", logs)
    if metrics is not None:
        yield from _otlp("metrics_encoder", "encode_metrics", metrics)
    for body in sentry:
        yield "Sentry exporter", body
    for kind, members in others.items():
        for member in members:
            yield kind, str(member).encode()


def _otlp(module: str, function: str, items: Any) -> Iterator[tuple[str, bytes]]:
    """Yield what the OTLP exporter would send, if it is installed."""
    if not items:
        return
    try:
        encode: Callable[[Any], Any] = getattr(importlib.import_module(f"{_OTLP}.{module}"), function)
    except ImportError:
        return
    yield f"OTLP exporter ({function.removeprefix('encode_')})", encode(items).SerializeToString()


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, default=str).encode()


def _spellings(secret: str) -> set[bytes]:
    """Return a secret as exporters and applications spell it. Base64 is found where it begins with the secret."""
    encoded = base64.b64encode(secret.encode()).decode().rstrip("=")
    whole = len(secret.encode()) // 3 * 4
    spellings = {
        secret,
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        json.dumps(json.dumps(secret)[1:-1])[1:-1],
        quote(secret, safe=""),
        encoded[:whole] if whole >= 8 else encoded,
    }
    return {spelling.encode("utf-8", "replace") for spelling in spellings}
