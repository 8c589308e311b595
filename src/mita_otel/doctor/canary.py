"""Canaries: made-up secrets sent through the live pipeline. A canary in the output is a leak.

The numbers are the card schemes' published test numbers and examples from documentation.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, unquote_plus

from opentelemetry import baggage, propagate, trace
from opentelemetry._logs import LogRecord
from opentelemetry.context import Context
from opentelemetry.sdk._logs import LogRecordLimits, LogRecordProcessor, ReadWriteLogRecord
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import NonRecordingSpan, SpanContext, Status, StatusCode, TraceFlags

from mita_otel.exporters.memory import MemorySpanExporter
from mita_otel.processors.log_redaction import LogRedactionProcessor
from mita_otel.processors.metric_redaction import MetricRedaction
from mita_otel.redaction import BeforeSend
from mita_otel.redaction.canaries import SECRETS, secret_in, squashed
from mita_otel.sdk.telemetry import Telemetry

_HARMLESS: Final = "order 8812 shipped"
_TRACE_ID: Final = 0x4BF92F3577B34DA60000000000000001
"""A ratio sampler keeps an id with such a low end, unless the ratio is 0."""


@dataclass(frozen=True)
class Leak:
    """A canary in the output."""

    place: str
    """The place of the canary, as in `span attribute`."""
    rule: str
    """The rule that did not find it."""


@dataclass(frozen=True)
class CanaryReport:
    """The result of the canary check."""

    sent: int
    """Number of canaries sent: secrets times places."""
    leaks: tuple[Leak, ...]
    """The canaries in the output."""
    silent: tuple[str, ...]
    """Places without any output, not even harmless text. They are not verified."""

    @property
    def ok(self) -> bool:
        """Whether the output has no canary, and every place was verified."""
        return not self.leaks and not self.silent

    def lines(self) -> list[str]:
        """Return the report as lines to print."""
        by_place: dict[str, list[str]] = {}
        for leak in self.leaks:
            by_place.setdefault(leak.place, []).append(leak.rule)
        lines = [
            f"{place}: canaries were not redacted by the rules {', '.join(rules)}"
            for place, rules in by_place.items()
        ]
        lines += [f"{place}: no output, so nothing is verified; check sampling" for place in self.silent]
        return lines or [f"redaction: {self.sent} canaries sent, all redacted"]


def check_canaries(telemetry: Telemetry) -> CanaryReport:
    """Send every canary through every place of the live pipeline, and search the output for it.

    Spans pass the whole pipeline, from the global tracer provider to an exporter. For Sentry events, log records,
    metrics and outgoing baggage, the redaction step is called directly. No data leaves the process, unless
    `telemetry` has exporters that send.

    Args:
        telemetry: The result of `configure(exporters=["memory"])`. The check reads that exporter.

    Raises:
        ValueError: There is no `memory` exporter.
    """
    memory = next((one for one in telemetry.exporters.values() if isinstance(one, MemorySpanExporter)), None)
    if memory is None:
        raise ValueError('the canary check needs the memory exporter: configure(exporters=["memory"])')
    places: dict[str, Callable[[], str]] = {
        "span": lambda: _spans(telemetry, memory),
        "log record": lambda: _log_record(telemetry),
        "metric": lambda: _metric(telemetry),
        "Sentry event": lambda: _sentry_event(telemetry),
    }
    if "baggage" in propagate.get_global_textmap().fields:  # OTEL_PROPAGATORS may exclude it
        places["baggage"] = _baggage
    leaks: list[Leak] = []
    silent: list[str] = []
    for place, send in places.items():
        output = squashed(send())
        leaks += (Leak(place, rule) for rule, text in SECRETS.items() if squashed(secret_in(text)) in output)
        if squashed(_HARMLESS) not in output:
            silent.append(place)
    return CanaryReport(len(SECRETS) * len(places), tuple(leaks), tuple(silent))


def _spans(telemetry: Telemetry, memory: MemorySpanExporter) -> str:
    """Send a span with a canary in each of its parts; return the content of the exporter."""
    sampled = SpanContext(_TRACE_ID, 1, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    parent = trace.set_span_in_context(NonRecordingSpan(sampled), Context())
    texts = list(SECRETS.values())
    all_of_them = "; ".join(texts)
    tracer = trace.get_tracer("mita_otel.doctor.canary")
    span = tracer.start_span(
        f"canary {texts[0]}",
        parent,
        attributes={"mita.canary": _HARMLESS, "text": all_of_them, "list": texts},
    )
    for rule, text in SECRETS.items():
        span.set_attribute(f"canary.{rule}", text)
    span.set_attribute("json", json.dumps({"a": [{"b": text} for text in texts]}))
    literals = ", ".join(map(repr, texts))
    span.set_attribute("db.statement", f"SELECT a -- {all_of_them}\n FROM t WHERE a IN ({literals})")  # noqa: S608
    span.set_attribute(
        "url.full", "https://canary.test/?q=" + "&q=".join(quote(text, safe="") for text in texts)
    )
    span.add_event(
        "canary", {"exception.message": all_of_them, "exception.stacktrace": f"ValueError: {all_of_them}"}
    )
    span.record_exception(ValueError(all_of_them))
    span.set_status(Status(StatusCode.ERROR, all_of_them))
    span.end()
    telemetry.flush()
    return "\n".join(_shown(one) for one in memory.spans if one.context and one.context.trace_id == _TRACE_ID)


def _shown(span: ReadableSpan) -> str:
    parts: list[Any] = [
        span.name,
        dict(span.attributes or {}),
        [(event.name, dict(event.attributes or {})) for event in span.events],
        [dict(link.attributes or {}) for link in span.links],
        span.status.description,
        dict(span.resource.attributes),
    ]
    return repr(parts)


class _Kept(LogRecordProcessor):
    """Keeps the output of a log processor."""

    def __init__(self) -> None:
        self.shown = ""

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        record = log_record.log_record
        self.shown += repr((record.body, dict(record.attributes or {})))

    def shutdown(self) -> None: ...

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return True


def _log_record(telemetry: Telemetry) -> str:
    kept = _Kept()
    body = f"{_HARMLESS}; " + "; ".join(SECRETS.values())
    record = LogRecord(body=body, attributes={f"canary.{rule}": text for rule, text in SECRETS.items()})
    limits = LogRecordLimits()
    LogRedactionProcessor(telemetry.redactor, kept).on_emit(ReadWriteLogRecord(record, limits=limits))
    return kept.shown


def _metric(telemetry: Telemetry) -> str:
    reader = InMemoryMetricReader()
    counter = (
        MeterProvider([reader], shutdown_on_exit=False)
        .get_meter("mita_otel.doctor.canary")
        .create_counter("canary")
    )
    counter.add(1, {"mita.canary": _HARMLESS, **SECRETS})
    data = reader.get_metrics_data()
    return repr(MetricRedaction(telemetry.redactor)(data)) if data is not None else ""


def _sentry_event(telemetry: Telemetry) -> str:
    texts = "; ".join(SECRETS.values())
    event = {
        "message": f"{_HARMLESS}; {texts}",
        "extra": dict(SECRETS),
        "request": {"data": dict(SECRETS), "query_string": texts},
        "exception": {"values": [{"type": "ValueError", "value": texts, "stacktrace": {"frames": [{"vars": dict(SECRETS)}]}}]},
        "breadcrumbs": {"values": [{"message": texts}]},
    }  # fmt: skip
    return repr(BeforeSend(telemetry.redactor)(event, {}))


def _baggage() -> str:
    """Return the headers of the global propagator, as the receiver reads them."""
    context = baggage.set_baggage("mita.canary", _HARMLESS, Context())
    for rule, text in SECRETS.items():
        context = baggage.set_baggage(f"canary.{rule}", text, context)
    headers: dict[str, str] = {}
    propagate.inject(headers, context)
    return unquote_plus(repr(headers))
