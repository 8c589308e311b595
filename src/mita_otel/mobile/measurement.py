"""Measures an app's screens, requests and operations against their limits.

These are the spans of `monitorScreenRender`, `monitorApiRequest` and `monitorFinancialOperation`, and those that
sentry_flutter measures by itself. The policy selects them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from mita_otel import semconv
from mita_otel.latency.facts import SpanFacts
from mita_otel.latency.limits import Breach, LimitBook, Verdict
from mita_otel.latency.operations import Operation, OperationNames
from mita_otel.mobile.app_spans import AppSpan
from mita_otel.policy import Policy
from mita_otel.policy.limits import HTTP_METHODS, Kind
from mita_otel.policy.mobile import MeasuredKind

_LONGEST_MS: Final = 3_600_000.0
"""Longer spans are ignored: the app slept, or the span is made up."""
_FORGOTTEN_AFTER_S: Final = 3600.0
_MAX_NAME: Final = 200


@dataclass(frozen=True, slots=True)
class MeasuredSpan:
    """A span with a limit."""

    kind: Kind
    name: str
    """Redacted, and one of a bounded number of names."""
    verdict: Verdict
    duration_ms: float
    failed: bool
    trace_id: str
    span_id: str
    end_s: float


class Measurer:
    """Measures spans against their limits. Not thread-safe.

    Args:
        policy: Selects the spans, and sets the limits.
        clock: Seconds since the epoch.
    """

    def __init__(self, policy: Policy, clock: Callable[[], float] = time.time) -> None:
        measure, limits = policy.mobile.measure, policy.thresholds.mobile
        kinds: tuple[tuple[Kind, MeasuredKind], ...] = (
            ("mobile_screen", measure.screens),
            ("mobile_request", measure.requests),
            ("mobile_operation", measure.operations),
        )
        self._kinds = dict(kinds)
        self._by_op = {op: kind for kind, how in kinds for op in how.ops}
        self._known: dict[Kind, frozenset[str]] = {
            "mobile_screen": frozenset(limits.screens),
            "mobile_request": frozenset(limits.requests),
            "mobile_operation": frozenset(limits.operations),
        }
        self._clock = clock
        self._names = OperationNames(measure.max_names, clock=clock)
        self._book = LimitBook(policy.thresholds)

    def measure(self, spans: Iterable[AppSpan]) -> list[tuple[AppSpan, MeasuredSpan]]:
        """Return the spans with a limit and their measurement.

        A span inside a root of the same kind is skipped: `monitorApiRequest` would count its request twice.
        """
        found: list[tuple[AppSpan, MeasuredSpan]] = []
        root_kind: Kind | None = None
        for span in spans:
            kind = self._kind_of(span)
            if span.is_root:
                root_kind = kind
            if kind is None or (not span.is_root and kind == root_kind) or span.duration_ms > _LONGEST_MS:
                continue
            name = self._bounded(kind, _name_of(span, self._kinds[kind]))
            said = {semconv.OPERATION: name, semconv.OPERATION_KIND: kind}
            verdict = self._book.verdict(SpanFacts(name, "INTERNAL", span.duration_ms, said))
            measured = MeasuredSpan(
                kind, name, verdict, span.duration_ms, span.failed, span.trace_id, span.span_id, span.end_s
            )
            found.append((span, measured))
        return found

    def _kind_of(self, span: AppSpan) -> Kind | None:
        said = span.data.get(semconv.OPERATION_KIND)
        for kind, how in self._kinds.items():
            # Spans over OTLP may have no op. Their name gives the kind.
            if kind == said or (not span.op and span.name.startswith(how.prefixes)):
                return kind
        return self._by_op.get(span.op)

    def _bounded(self, kind: Kind, name: str) -> str:
        """Return one of a bounded number of names. Clients can invent names."""
        if name in self._known[kind]:
            return name
        self._names.forget(self._clock() - _FORGOTTEN_AFTER_S)
        return self._names.shown(Operation(kind, name)).name


def _name_of(span: AppSpan, how: MeasuredKind) -> str:
    for key in (semconv.OPERATION, *how.data):
        said = span.data.get(key)
        if isinstance(said, str) and said.strip():
            return said.strip()[:_MAX_NAME]
    for prefix in how.prefixes:
        if span.name.startswith(prefix) and len(span.name) > len(prefix):
            return span.name[len(prefix) :].strip()[:_MAX_NAME]
    for suffix in how.suffixes:
        if span.name.endswith(suffix) and len(span.name) > len(suffix):
            return span.name[: -len(suffix)].strip()[:_MAX_NAME]
    return _request_name(span) or span.name.strip()[:_MAX_NAME] or span.op


def _request_name(span: AppSpan) -> str:
    """Return `GET api.example.com` for an HTTP request, without its path, which varies and may contain secrets."""
    method, _, rest = span.name.partition(" ")
    method = str(semconv.first(span.data, semconv.HTTP_METHOD) or method).upper()
    url = semconv.first(span.data, (*semconv.HTTP_URL, "url")) or rest
    if method not in HTTP_METHODS or not isinstance(url, str):
        return ""
    try:
        host = urlsplit(url).hostname
    except ValueError:
        return ""
    return f"{method} {host}" if host else ""


Pairs = Sequence[tuple[AppSpan, MeasuredSpan]]


def mark_transaction(event: dict[str, Any], measured: Pairs) -> None:
    """Mark a transaction and its spans that exceeded their limit."""
    breached = [(span, one.verdict.breaches[0]) for span, one in measured if one.verdict.breaches]
    if not breached:
        return
    for span, breach in breached:
        if span.is_root:
            trace = _table(_table(event, "contexts"), "trace")
            _table(trace, "data").update(breach.attributes())
            _table(event, "measurements").update(
                {
                    "latency.limit": {"value": breach.limit_ms, "unit": "millisecond"},
                    "latency.overrun": {"value": round(breach.overrun_ms, 3), "unit": "millisecond"},
                }
            )
        else:
            _table(span.record, "data").update(breach.attributes())
            _table(span.record, "tags")["performance_issue"] = "true"
    _, worst = max(breached, key=lambda pair: pair[1].overrun_ms)
    event["tags"] = {**tags_of(event), **_tags(worst)}
    _table(event, "contexts")["latency"] = {
        "type": "latency",
        "breaches": [
            {
                "span_id": span.span_id,
                "span": span.name,
                "kind": breach.kind,
                "rule": breach.rule,
                "limit_ms": breach.limit_ms,
                "duration_ms": round(breach.duration_ms, 3),
                "overrun_ms": round(breach.overrun_ms, 3),
            }
            for span, breach in breached
        ],
    }


def mark_streamed(measured: Pairs) -> None:
    """Mark streamed spans that exceeded their limit. They have attributes instead of tags."""
    for span, one in measured:
        if not one.verdict.breaches:
            continue
        breach = one.verdict.breaches[0]
        said: dict[str, Any] = {**breach.attributes(), **_tags(breach)}
        if span.streamed:
            _table(span.record, "attributes").update({name: _typed(value) for name, value in said.items()})
        else:
            _table(span.record, "data").update(said)


def tags_of(event: dict[str, Any]) -> dict[str, Any]:
    """Return an event's tags as a mapping. SDKs write a mapping or a list of pairs."""
    tags = event.get("tags")
    if isinstance(tags, dict):
        return tags
    pairs = tags if isinstance(tags, list) else []
    return {str(pair[0]): pair[1] for pair in pairs if isinstance(pair, list) and len(pair) == 2}


def _tags(breach: Breach) -> dict[str, str]:
    return {
        "performance_issue": "true",
        "latency_rule": breach.rule[:200],
        "latency_limit_ms": f"{breach.limit_ms:g}",
    }


def _typed(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"value": value, "type": "boolean"}
    return {"value": value, "type": "string" if isinstance(value, str) else "double"}


def _table(owner: dict[str, Any], key: str) -> dict[str, Any]:
    """Return the mapping under a key. A missing or invalid value is replaced by a new one."""
    table = owner.get(key)
    if not isinstance(table, dict):
        table = owner[key] = {}
    return table
