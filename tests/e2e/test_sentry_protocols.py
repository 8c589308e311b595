"""One setting selects the protocol to Sentry; each protocol transports the same spans, limits and tags."""

from __future__ import annotations

from typing import Any

import pytest

from e2e import canaries
from e2e.conftest import StartService
from e2e.receiver import Receiver
from e2e.script import run_script

pytestmark = pytest.mark.e2e

BALANCE = "GET /api/accounts/{account_id}/balance"
ITEM = "GET /api/items/{item_id}"


def roots(receiver: Receiver, protocol: str) -> dict[str, dict[str, Any]]:
    """Return the tags of each request's root span, by name."""
    if protocol == "transactions":
        return {one["transaction"]: one["tags"] for one in receiver.transactions}
    if protocol == "spans":
        return {
            one["name"]: {name: value["value"] for name, value in one["attributes"].items()}
            for one in receiver.streamed_spans
            if one["is_segment"]
        }
    return {
        one["name"]: {a["key"]: a["value"].get("stringValue") for a in one["attributes"]}
        for one in receiver.otlp_spans
        if one["kind"] == "SPAN_KIND_SERVER"
    }


def span_ids(receiver: Receiver, protocol: str) -> list[str]:
    if protocol == "transactions":
        return [
            span["span_id"]
            for one in receiver.transactions
            for span in [*one["spans"], one["contexts"]["trace"]]
        ]
    if protocol == "spans":
        return [one["span_id"] for one in receiver.streamed_spans]
    return [one["spanId"] for one in receiver.otlp_spans]


@pytest.mark.parametrize("protocol", ["transactions", "spans", "otlp"])
def test_the_same_spans_tags_and_errors_arrive_by_each_protocol(
    receiver: Receiver, start_service: StartService, protocol: str
) -> None:
    service = start_service({"SENTRY_DSN": receiver.dsn, "MITA_OTEL_SENTRY__PROTOCOL": protocol})
    service.client.get("/api/items/1")
    service.client.get("/api/accounts/1/balance?wait_s=0.32")
    service.client.get(f"/api/async/{canaries.PATH.secret}?token={canaries.QUERY_TOKEN.secret}")
    assert service.client.get("/api/error").status_code == 500
    service.stop()
    receiver.wait_for(lambda r: len(span_ids(r, protocol)) >= 9 and r.events)

    ids = span_ids(receiver, protocol)
    assert len(ids) == len(set(ids)) == 9, "a statement at the start, four requests, four statements"
    said = roots(receiver, protocol)
    assert {ITEM, BALANCE, "GET /api/error"} <= set(said)
    assert said["GET /api/error"]["failed"] == "true"
    assert canaries.leaks(receiver.raw) == []
    assert len(receiver.events) == 1
    if protocol == "spans":
        for header in receiver.envelope_headers:
            assert {"trace_id", "public_key", "environment"} <= set(header["trace"])
    if protocol == "otlp":
        for request in [one for one in receiver.requests if "otlp" in one.path]:
            assert "sentry_key=publickey" in request.headers["X-Sentry-Auth"]
    assert said[BALANCE]["performance_issue"] == "true"
    assert said[BALANCE]["latency_rule"].startswith("api.financial.GET")
    assert "performance_issue" not in said[ITEM]


def test_thousands_of_spans_arrive_completely_as_spans_and_counted_as_a_transaction(
    receiver: Receiver, tmp_path: Any
) -> None:
    code = """
        import mita_otel
        from opentelemetry import trace
        telemetry = mita_otel.configure()
        tracer = trace.get_tracer("test")
        with tracer.start_as_current_span("job"):
            for _ in range(5000):
                with tracer.start_as_current_span("step"):
                    pass
        telemetry.shutdown()
        answer(telemetry.losses())
        """
    ran = run_script(code, tmp_path, {"SENTRY_DSN": receiver.dsn, "MITA_OTEL_SENTRY__PROTOCOL": "spans"})
    assert ran.answer == {}
    receiver.wait_for(lambda r: len(r.streamed_spans) >= 5001)
    assert len({one["span_id"] for one in receiver.streamed_spans}) == 5001

    ran = run_script(code, tmp_path, {"SENTRY_DSN": receiver.dsn})
    assert ran.answer == {"sentry: too_many_spans": 4000}
    [transaction] = receiver.transactions
    assert len(transaction["spans"]) == 1000
    assert transaction["contexts"]["mita"]["spans_left_out"] == 4000
