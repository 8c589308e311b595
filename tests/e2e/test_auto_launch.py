"""`opentelemetry-instrument uvicorn app:app` without code: one transaction per request, and no loss."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any, Literal

import pytest

from e2e.conftest import StartService
from e2e.receiver import Receiver
from e2e.relay import judge
from e2e.service import LAUNCHERS, SEVERAL, Launcher, Service
from e2e.transactions import assert_tree, database_spans, named, requests, trace_of

pytestmark = pytest.mark.e2e

ITEM = "GET /api/items/{item_id}"
ASYNC_ITEM = "GET /api/async/{item_id}"


def ask_every_worker(service: Service, workers: int) -> int:
    """Ask until every worker has answered; return how often."""
    asked = 0
    pids: set[int] = set()
    while len(pids) < workers:
        asked += 1
        assert asked < 500, f"only {len(pids)} of {workers} workers ever answered"
        pids.add(service.client.get("/api/pid").json()["pid"])
    return asked


@pytest.mark.parametrize("how", ["SIGTERM", "CTRL_C"])
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_every_request_becomes_one_transaction_with_each_launcher_and_ending(
    receiver: Receiver,
    start_service: StartService,
    launcher: Launcher,
    how: Literal["SIGTERM", "CTRL_C"],
) -> None:
    service = start_service({"SENTRY_DSN": receiver.dsn}, launcher=launcher)
    asked = ask_every_worker(service, 2 if launcher in SEVERAL else 1)
    for number in range(6):
        assert service.client.get(f"/api/items/{number}").json()["item"] == str(number)
        assert service.client.get(f"/api/async/{number}").json()["item"] == str(number)

    service.stop(how)  # at once: finished spans are still queued

    receiver.wait_for(lambda r: len(requests(r)) >= asked + 12)
    assert Counter(one["transaction"] for one in requests(receiver)) == {
        "GET /api/pid": asked, ITEM: 6, ASYNC_ITEM: 6
    }  # fmt: skip
    for transaction in receiver.transactions:
        assert_tree(transaction)
        judge(transaction)
    for transaction in named(receiver, ITEM) + named(receiver, ASYNC_ITEM):
        spans = database_spans(transaction)
        assert [span["description"].split()[0] for span in spans] == ["SELECT", "SELECT"]
        assert {span["parent_span_id"] for span in spans} == {trace_of(transaction)["span_id"]}
    assert "Traceback" not in service.stderr.text


TRACE_ID, PARENT_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture(scope="module")
def received(shared_receiver: Receiver, start_shared_service: StartService) -> Receiver:
    """The data that one service sent for five requests."""
    service = start_shared_service(
        {
            "SENTRY_DSN": shared_receiver.dsn,
            "SENTRY_RELEASE": "mita-finance@1.2.3",
            "SENTRY_ENVIRONMENT": "staging",
            "OTEL_SERVICE_NAME": "shop",
        }
    )
    service.client.get("/api/items/7")
    service.client.get("/api/missing")
    assert service.client.get("/api/error").status_code == 500
    service.client.get("/api/async/1", headers={"traceparent": f"00-{TRACE_ID}-{PARENT_ID}-01"})
    assert service.client.post("/api/recount").status_code == 202
    service.stop()
    shared_receiver.wait_for(lambda r: len(requests(r)) >= 5 and r.events)
    return shared_receiver


def test_a_transaction_has_name_times_and_status_of_its_request(received: Receiver) -> None:
    [item] = named(received, ITEM)
    assert (item["release"], item["environment"]) == ("mita-finance@1.2.3", "staging")
    assert item["tags"]["component"] == "shop"
    assert item["transaction_info"]["source"] == "route"
    expected = {
        ITEM: "ok",
        "GET /api/missing": "not_found",
        "GET /api/error": "internal_error",
        ASYNC_ITEM: "ok",
        "POST /api/recount": "ok",
    }
    assert {one["transaction"]: trace_of(one)["status"] for one in requests(received)} == expected
    for transaction in requests(received):
        assert trace_of(transaction)["op"] == "http.server"
        assert transaction["start_timestamp"] <= transaction["timestamp"]
        judge(transaction)
    # Six decimals: microseconds are kept. (One float may end in zeros, hardly three of them.)
    times = [span[key] for span in item["spans"] for key in ("start_timestamp", "timestamp")]
    assert any(_decimals(time) > 4 for time in times)


def _decimals(value: Any) -> int:
    match = re.search(r"\.(\d+)", str(value))
    return len(match.group(1)) if match else 0


def test_an_unhandled_error_is_one_issue_linked_to_its_trace(received: Receiver) -> None:
    [event] = received.events
    [transaction] = named(received, "GET /api/error")
    assert event["exception"]["values"][-1]["type"] == "ValueError"
    assert event["exception"]["values"][-1]["value"] == "the ledger does not balance"
    assert trace_of(event)["trace_id"] == trace_of(transaction)["trace_id"]
    judge(event)


def test_an_incoming_trace_is_continued(received: Receiver) -> None:
    [transaction] = named(received, ASYNC_ITEM)
    assert trace_of(transaction)["trace_id"] == TRACE_ID
    assert trace_of(transaction)["parent_span_id"] == PARENT_ID
    assert_tree(transaction)


def test_a_query_of_a_background_task_is_not_lost(received: Receiver) -> None:
    [request] = named(received, "POST /api/recount")
    # It may end after its request: then it is in a separate transaction of the same trace.
    found = [
        (trace_of(one)["trace_id"], span.get("description") or one["transaction"])
        for one in received.transactions
        for span in [*one["spans"], {**trace_of(one), "description": one["transaction"]}]
        if "count(id)" in str(span)
    ]
    assert len(found) == 1, received.transactions
    assert found[0][0] == trace_of(request)["trace_id"]


@pytest.mark.parametrize("source", ["native", "contrib"])
def test_a_request_is_one_server_span_with_either_instrumentation_of_fastapi(
    receiver: Receiver, start_service: StartService, source: str
) -> None:
    service = start_service(
        {
            "OTEL_TRACES_EXPORTER": "otlp",
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.otlp_endpoint,
            "MITA_OTEL_INSTRUMENTATION__FASTAPI": source,
        }
    )
    for number in range(3):
        service.client.get(f"/api/items/{number}")
    service.client.get("/api/accounts/7/balance?wait_s=0.32")
    service.stop()
    receiver.wait_for(lambda r: len(r.otlp_spans) >= 11)

    # (The service creates its table at its start, outside a request.)
    spans = [span for span in receiver.otlp_spans if not span["name"].startswith("CREATE")]
    kinds = Counter(span["kind"] for span in spans)
    assert kinds == {"SPAN_KIND_SERVER": 4, "SPAN_KIND_CLIENT": 6}
    # The limits read both sets of attribute names.
    [slow] = [
        span
        for span in receiver.otlp_spans
        if any(a["key"] == "mita.latency.rule" for a in span.get("attributes", []))
    ]
    rules = {a["key"]: a["value"] for a in slow["attributes"]}
    assert rules["mita.latency.rule"]["stringValue"].startswith("api.financial.GET")
