"""Marks spans that exceeded their limit, as in the backend's telemetry: tags, data, measurements and a context."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mita_otel.latency.limits import Breach
from mita_otel.mobile.app_spans import AppSpan
from mita_otel.mobile.measurement import MeasuredSpan

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
