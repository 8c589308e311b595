"""Context propagation with Sentry's headers `sentry-trace` and `baggage`, in addition to OpenTelemetry's headers.

Sources: Sentry's trace propagation (sentry-trace, baggage, strict trace continuation); W3C Baggage.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote, unquote

from opentelemetry import baggage, trace
from opentelemetry.context import Context, set_value
from opentelemetry.propagators.textmap import (
    CarrierT,
    Getter,
    Setter,
    TextMapPropagator,
    default_getter,
    default_setter,
)
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, format_span_id, format_trace_id

from mita_otel import semconv
from mita_otel.policy.sentry import PropagationPolicy
from mita_otel.processors.samplers import UNDECIDED
from mita_otel.sentry.sampling_context import SamplingContexts

SENTRY_TRACE: Final = "sentry-trace"
BAGGAGE: Final = "baggage"

_HEADER: Final = re.compile(r"[ \t]*([0-9a-fA-F]{32})-([0-9a-fA-F]{16})(?:-([01]))?[ \t]*")
_PREFIX: Final = "sentry-"
_MAX_BAGGAGE: Final = 8192
"""Maximum bytes of the header (W3C Baggage)."""
_MAX_VALUE: Final = 512
"""Maximum characters of a value that we write."""


class SentryPropagator(TextMapPropagator):
    """Reads and writes Sentry's headers, and wraps OpenTelemetry's propagator.

    If a request has both `traceparent` and `sentry-trace` with the same trace id, the span of `traceparent` is
    continued, because a proxy may have added it. If the trace ids differ, the policy decides which one is continued.

    Args:
        policy: Targets, preferred header and strictness.
        inner: The propagators that `OTEL_PROPAGATORS` names.
        contexts: The sampling contexts, by trace.
        decided: Returns whether the sampling decision is known when a span starts. With tail sampling it is not.
    """

    def __init__(
        self,
        policy: PropagationPolicy,
        inner: TextMapPropagator,
        contexts: SamplingContexts,
        *,
        decided: Callable[[], bool],
    ) -> None:
        self._policy = policy
        self._inner = inner
        self._contexts = contexts
        self._decided = decided
        self._targets = [re.compile(pattern) for pattern in policy.targets]

    @property
    def fields(self) -> set[str]:
        """The headers that may be written."""
        return {*self._inner.fields, SENTRY_TRACE, BAGGAGE}

    def extract(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        getter: Getter[CarrierT] = default_getter,
    ) -> Context:
        """Continue the trace that the headers belong to."""
        result = self._inner.extract(carrier, context, getter)
        items = _sentry_items(getter.get(carrier, BAGGAGE) or ())
        for name in [name for name in baggage.get_all(result) if name.startswith(_PREFIX)]:
            result = baggage.remove_baggage(name, result)
        theirs, undecided = _span_context(getter.get(carrier, SENTRY_TRACE) or ())
        ours = trace.get_current_span(result).get_span_context()
        if theirs is None and not ours.is_valid:
            return result
        if not self._may_continue(items, theirs is not None):
            # The trace belongs to another organisation: start a new trace.
            return trace.set_span_in_context(trace.INVALID_SPAN, result)
        if theirs is not None and self._prefer(theirs, ours):
            result = trace.set_span_in_context(NonRecordingSpan(theirs), result)
            result = set_value(UNDECIDED, undecided, result)
        continued = trace.get_current_span(result).get_span_context()
        if theirs is not None or items:
            self._contexts.freeze(continued.trace_id, items)
        return result

    def inject(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        setter: Setter[CarrierT] = default_setter,
    ) -> None:
        """Write OpenTelemetry's headers. Also write Sentry's headers if the URL matches the policy's targets."""
        span = trace.get_current_span(context)
        ids = span.get_span_context()
        if not ids.is_valid or not self._is_target(getattr(span, "attributes", None) or {}):
            self._inner.inject(carrier, context, setter)
            return
        collected = _Collected()
        self._inner.inject(collected.headers, context, collected)
        sampled = ids.trace_flags.sampled if self._decided() or not ids.trace_flags.sampled else None
        flag = "" if sampled is None else f"-{int(sampled)}"
        collected.headers[SENTRY_TRACE] = (
            f"{format_trace_id(ids.trace_id)}-{format_span_id(ids.span_id)}{flag}"
        )
        items = self._contexts.of(ids.trace_id, sampled=sampled)
        collected.headers[BAGGAGE] = _joined(items, collected.headers.get(BAGGAGE, ""))
        for name, value in collected.headers.items():
            if value:
                setter.set(carrier, name, value)

    def _prefer(self, theirs: SpanContext, ours: SpanContext) -> bool:
        if not ours.is_valid:
            return True
        return theirs.trace_id != ours.trace_id and self._policy.prefer == SENTRY_TRACE

    def _may_continue(self, items: Mapping[str, str], from_sentry: bool) -> bool:
        """Apply Sentry's rules of trace continuation.

        A trace of another organisation is never continued. In strict mode, a trace is not continued either if only
        one side has an organisation id.
        """
        theirs, ours = items.get("org_id"), self._contexts.org_id
        if theirs is not None and ours is not None:
            return theirs == ours
        if not (self._policy.strict_continuation or self._contexts.strict) or not (from_sentry or items):
            return True
        return theirs is None and ours is None

    def _is_target(self, attributes: Mapping[str, Any]) -> bool:
        url = semconv.first(attributes, semconv.HTTP_URL)
        groups = (
            [self._targets] if self._contexts.targets is None else [self._targets, self._contexts.targets]
        )
        if url is None:
            return all(groups)
        return all(any(target.search(str(url)) for target in group) for group in groups)


class _Collected(Setter[dict[str, str]]):
    """Collects headers in a mapping before they are written to the carrier."""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}

    def set(self, carrier: dict[str, str], key: str, value: str) -> None:
        carrier[key.lower()] = value


def _span_context(headers: Iterable[str]) -> tuple[SpanContext | None, bool]:
    """Return the span context of the header, and whether its sender has deferred the sampling decision.

    Proxies join headers of one name with commas. The first valid value is used.
    """
    for value in (part for header in headers for part in header.split(",")):
        found = _HEADER.fullmatch(value)
        if found is None:
            continue
        trace_id, span_id = int(found.group(1), 16), int(found.group(2), 16)
        flag = found.group(3)
        flags = TraceFlags(TraceFlags.DEFAULT if flag == "0" else TraceFlags.SAMPLED)
        context = SpanContext(trace_id, span_id, is_remote=True, trace_flags=flags)
        if context.is_valid:
            return context, flag is None
    return None, False


def _sentry_items(headers: Iterable[str]) -> dict[str, str]:
    items: dict[str, str] = {}
    for header in headers:
        for member in header[:_MAX_BAGGAGE].split(","):
            name, sign, value = member.partition(";")[0].partition("=")
            name = name.strip()
            if sign and name.startswith(_PREFIX) and len(name) > len(_PREFIX):
                items[unquote(name[len(_PREFIX) :])] = unquote(value.strip())
    return items


def _joined(items: Mapping[str, str], present: str) -> str:
    """Return a baggage header with the sampling context first. Entries that do not fit are omitted."""
    members = [
        f"{_PREFIX}{quote(name, safe='')}={quote(value[:_MAX_VALUE], safe='')}"
        for name, value in items.items()
    ]
    others = [
        one.strip() for one in present.split(",") if one.strip() and not one.strip().startswith(_PREFIX)
    ]
    header = ""
    for member in [*members, *others]:
        longer = f"{header},{member}" if header else member
        if len(longer) <= _MAX_BAGGAGE:
            header = longer
    return header


def current_ids() -> tuple[str, str] | None:
    """Return the trace id and span id of OpenTelemetry's current span, so that Sentry links its events to them."""
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return None
    return format_trace_id(context.trace_id), format_span_id(context.span_id)


def current_trace_context() -> dict[str, str] | None:
    """Return the ids of OpenTelemetry's current span as Sentry's trace context, or None."""
    ids = current_ids()
    return {"type": "trace", "trace_id": ids[0], "span_id": ids[1]} if ids is not None else None
