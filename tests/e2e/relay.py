"""Validates payloads with Sentry's own ingestion code."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from sentry_relay.exceptions import RelayError
from sentry_relay.processing import StoreNormalizer


def judge(payload: dict[str, Any]) -> dict[str, Any]:
    """Let Relay normalise an event or a transaction.

    Fails if Relay found an error in it, or changed what matters: names, ids, times, tags, spans.

    Returns:
        The payload as Sentry would store it.
    """
    normalizer = StoreNormalizer(
        project_id=1, protocol_version="7", max_secs_in_future=3600, max_secs_in_past=2_592_000
    )
    try:
        stored: dict[str, Any] = normalizer.normalize_event(copy.deepcopy(payload))
    except RelayError as error:
        raise AssertionError(f"Relay refused {payload.get('transaction')!r}: {str(error)[:200]}") from None
    problems = list(_errors(stored.get("_meta") or {}, ""))
    assert not problems, f"Relay found fault with {payload.get('transaction')!r}: {problems}"
    for path, before, after in _what_matters(payload, stored):
        assert before == after, f"Relay changed {path}: {before!r} -> {after!r}"
    return stored


def _errors(meta: Any, path: str) -> Iterator[str]:
    if not isinstance(meta, dict):
        return
    for key, value in meta.items():
        if key == "" and isinstance(value, dict):
            for kind in ("err", "rem", "len"):
                if value.get(kind):
                    yield f"{path or '(root)'}: {kind} {value[kind]}"
        else:
            yield from _errors(value, f"{path}.{key}")


def _what_matters(before: dict[str, Any], after: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for key in ("transaction", "event_id", "type", "release", "environment", "platform"):
        if key in before:
            yield key, before[key], after.get(key)
    trace_before = before.get("contexts", {}).get("trace", {})
    trace_after = after.get("contexts", {}).get("trace", {})
    for key in ("trace_id", "span_id", "parent_span_id", "op", "status"):
        if trace_before.get(key) is not None:
            yield f"contexts.trace.{key}", trace_before[key], trace_after.get(key)
    yield "tags", _tags(before), {key: value for key, value in _tags(after).items() if key in _tags(before)}
    for key in ("timestamp", "start_timestamp"):
        if key in before:
            yield key, _microseconds(before[key]), _microseconds(after.get(key))
    yield from _spans_that_matter(before.get("spans") or [], after.get("spans") or [])


def _spans_that_matter(
    before: list[dict[str, Any]], after: list[dict[str, Any]]
) -> Iterator[tuple[str, Any, Any]]:
    yield "number of spans", len(before), len(after)
    others = {span["span_id"]: span for span in after}
    for span in before:
        other = others.get(span["span_id"], {})
        for key in ("trace_id", "parent_span_id", "op", "description", "status"):
            if span.get(key) is not None:
                yield f"span {span['span_id']} {key}", span[key], other.get(key)
        for key in ("timestamp", "start_timestamp"):
            yield f"span {span['span_id']} {key}", _microseconds(span[key]), _microseconds(other.get(key))


def _tags(payload: dict[str, Any]) -> dict[str, str]:
    tags = payload.get("tags") or {}
    pairs = tags.items() if isinstance(tags, dict) else tags
    return {str(key): str(value) for key, value in pairs if value is not None}


def _microseconds(value: Any) -> int | None:
    """Sentry accepts a number or a string; both are seconds since the epoch."""
    if isinstance(value, int | float):
        return round(value * 1_000_000)
    if isinstance(value, str):
        return round(datetime.fromisoformat(value).timestamp() * 1_000_000)
    return None
