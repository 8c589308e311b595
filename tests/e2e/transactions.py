"""Selects and checks parts of received transactions."""

from __future__ import annotations

from typing import Any

from e2e.receiver import Receiver


def named(receiver: Receiver, name: str) -> list[dict[str, Any]]:
    """Return the transactions with that name, such as `GET /api/items/{item_id}`."""
    return [one for one in receiver.transactions if one["transaction"] == name]


def requests(receiver: Receiver) -> list[dict[str, Any]]:
    """Return the transactions of requests (statements at the start of a service are transactions too)."""
    return [one for one in receiver.transactions if trace_of(one)["op"] == "http.server"]


def trace_of(event: dict[str, Any]) -> dict[str, Any]:
    """Return the trace context of a transaction or an error event."""
    trace = event["contexts"]["trace"]
    assert isinstance(trace, dict)
    return trace


def database_spans(transaction: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the spans of statements, the oldest first."""
    found = [span for span in transaction["spans"] if span["op"].startswith("db")]
    return sorted(found, key=lambda span: span["start_timestamp"])


def assert_tree(transaction: dict[str, Any]) -> None:
    """Assert that every span has its trace's id, a parent in the transaction and a time inside it."""
    trace = trace_of(transaction)
    known = {trace["span_id"], *(span["span_id"] for span in transaction["spans"])}
    assert len(known) == 1 + len(transaction["spans"]), "a span is there twice"
    for span in transaction["spans"]:
        assert span["trace_id"] == trace["trace_id"]
        assert span["parent_span_id"] in known - {span["span_id"]}
        assert transaction["start_timestamp"] <= span["start_timestamp"] <= span["timestamp"]
