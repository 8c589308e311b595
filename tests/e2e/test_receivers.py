"""Independent receivers accept and show the data: Spotlight's sidecar and Bugsink.

`make receivers` installs them; without them these tests skip.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from e2e import canaries
from e2e.conftest import StartService
from e2e.real_receivers import Bugsink, Spotlight, why_not_bugsink, why_not_spotlight
from e2e.receiver import Receiver
from e2e.service import Service
from e2e.test_errors import ONE_ISSUE_EACH
from e2e.transactions import assert_tree, trace_of

pytestmark = pytest.mark.e2e

BALANCE = "GET /api/accounts/{account_id}/balance"
ITEM = "GET /api/items/{item_id}"


@pytest.fixture(scope="module")
def spotlight(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Spotlight]:
    reason = why_not_spotlight()
    if reason is not None:
        pytest.skip(reason)
    sidecar = Spotlight(tmp_path_factory.mktemp("spotlight"))
    yield sidecar
    sidecar.close()


@pytest.fixture(scope="module")
def bugsink(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bugsink]:
    reason = why_not_bugsink()
    if reason is not None:
        pytest.skip(reason)
    server = Bugsink(tmp_path_factory.mktemp("bugsink"))
    yield server
    server.close()


@pytest.fixture
def errors_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "errors"
    folder.mkdir()
    shutil.copy(Path(__file__).with_name("errors_app.py"), folder / "app.py")
    return folder


def drive(service: Service) -> None:
    service.client.get("/api/items/1")
    service.client.get("/api/accounts/1/balance?wait_s=0.32")
    service.client.get(f"/api/async/{canaries.PATH.secret}?token={canaries.QUERY_TOKEN.secret}")
    assert service.client.get("/api/error").status_code == 500


def items_of_trace(spotlight: Spotlight, kind: str, trace_ids: set[str]) -> list[dict[str, Any]]:
    return [one for one in spotlight.items(kind) if trace_of(one)["trace_id"] in trace_ids]


def test_spotlight_shows_transactions_with_their_spans_limits_and_errors(
    spotlight: Spotlight, start_service: StartService
) -> None:
    service = start_service({"SENTRY_DSN": spotlight.dsn, "SENTRY_RELEASE": "bank@1.0"})
    drive(service)
    service.stop()

    taken = {one["transaction"]: one for one in spotlight.items("transaction")}
    for transaction in taken.values():
        assert_tree(transaction)
    balance, failed = taken[BALANCE], taken["GET /api/error"]
    assert balance["tags"]["performance_issue"] == "true"
    assert balance["measurements"]["latency.limit"]["value"] == 300
    assert balance["release"] == "bank@1.0"
    [event] = items_of_trace(spotlight, "event", {trace_of(failed)["trace_id"]})
    assert event["transaction"] == "GET /api/error"

    [root] = spotlight.shown("get_traces", traceId=trace_of(balance)["trace_id"])
    assert root.startswith(f"{BALANCE} [{trace_of(balance)['span_id'][:8]} · ")
    assert int(re.findall(r"(\d+)ms", root)[0]) >= 320
    [tree] = spotlight.shown("get_traces", traceId=trace_of(taken[ITEM])["trace_id"])
    root, *spans = tree.splitlines()
    assert root.startswith(ITEM)
    assert any("SELECT" in line and "· db ·" in line for line in spans)
    assert "missing or unknown parent" not in tree
    summaries = "\n".join(spotlight.shown("search_traces", filters={"timeWindow": 600}))
    failed_id = trace_of(failed)["trace_id"][:8]
    assert re.search(rf"\*\*{failed_id}\*\* \| GET /api/error \| \d+ms \| \d+ spans \| 1 errors", summaries)
    everything = summaries + "\n".join(spotlight.shown("search_errors", filters={"timeWindow": 600}))
    assert canaries.leaks(everything.encode() + str(list(taken.values())).encode()) == []


def test_spotlight_shows_errors_with_stack_variables_request_and_trace(
    spotlight: Spotlight, start_service: StartService, errors_folder: Path
) -> None:
    service = start_service({"SENTRY_DSN": spotlight.dsn, "OTEL_SERVICE_NAME": "shop"}, errors_folder)
    service.client.get("/unhandled")
    service.stop()

    [transaction] = [one for one in spotlight.items("transaction") if one["transaction"] == "GET /unhandled"]
    trace = trace_of(transaction)
    [shown] = [
        text
        for text in spotlight.shown("search_errors", filters={"filename": "app.py"})
        if f'trace_id: "{trace["trace_id"]}"' in text
    ]
    assert "LedgerError: unhandled failed for [redacted:pan]" in shown
    assert re.search(r'File "app\.py", in work', shown)
    assert "**component**: shop" in shown
    assert f'span_id: "{trace["span_id"]}"' in shown


def test_spotlight_shows_logs(spotlight: Spotlight, start_service: StartService, errors_folder: Path) -> None:
    service = start_service({"SENTRY_DSN": spotlight.dsn, "MITA_OTEL_SENTRY__LOGS": "true"}, errors_folder)
    service.client.get("/only-logged")
    service.stop()
    [line] = [
        text
        for text in spotlight.shown("search_logs", filters={"timeWindow": 600})
        if "the queue of payments is full" in text
    ]
    assert re.search(r"Z error the queue of payments is full\n", line)
    assert "logger.name: shop (string)" in line


def test_spotlight_accepts_streamed_spans(spotlight: Spotlight, start_service: StartService) -> None:
    service = start_service({"SENTRY_DSN": spotlight.dsn, "MITA_OTEL_SENTRY__PROTOCOL": "spans"})
    drive(service)
    service.stop()
    spans = [span for item in spotlight.items("span") for span in item["items"]]
    [segment] = [one for one in spans if one["name"] == BALANCE]
    assert segment["is_segment"] is True
    assert segment["attributes"]["performance_issue"]["value"] == "true"
    [item] = [one for one in spans if one["name"] == ITEM]
    assert any(one.get("parent_span_id") == item["span_id"] for one in spans)


def test_spotlight_receives_the_same_data_as_sentry(
    receiver: Receiver, spotlight: Spotlight, start_service: StartService, errors_folder: Path
) -> None:
    service = start_service(
        {"SENTRY_DSN": receiver.dsn, "SENTRY_SPOTLIGHT": spotlight.stream_url}, errors_folder
    )
    service.client.get("/unhandled")
    service.stop()
    receiver.wait_for(lambda r: r.transactions and r.events)
    trace_ids = {trace_of(one)["trace_id"] for one in receiver.transactions}
    assert len(items_of_trace(spotlight, "transaction", trace_ids)) == len(receiver.transactions) == 1
    assert len(items_of_trace(spotlight, "event", trace_ids)) == len(receiver.events) == 1


def test_spotlight_alone_needs_no_dsn(
    spotlight: Spotlight, start_service: StartService, errors_folder: Path
) -> None:
    service = start_service(
        {"SENTRY_SPOTLIGHT": spotlight.stream_url, "OTEL_SERVICE_NAME": "alone"}, errors_folder
    )
    service.client.get("/unhandled")
    service.stop()
    [transaction] = [one for one in spotlight.items("transaction") if one["tags"]["component"] == "alone"]
    [event] = items_of_trace(spotlight, "event", {trace_of(transaction)["trace_id"]})
    assert event["exception"]["values"][0]["type"] == "LedgerError"
    assert "telemetry lost" not in service.said


def test_bugsink_shows_every_error_once_with_stack_tags_and_trace(
    bugsink: Bugsink, start_service: StartService, errors_folder: Path
) -> None:
    service = start_service(
        {"SENTRY_DSN": bugsink.dsn, "SENTRY_RELEASE": "shop@1.0", "OTEL_SERVICE_NAME": "shop"}, errors_folder
    )
    for path in ONE_ISSUE_EACH:
        try:
            service.client.get(path)
        except httpx.RemoteProtocolError:
            assert path == "/while-streaming"
    service.stop()

    issues = bugsink.wait_for_events(len(ONE_ISSUE_EACH))
    events = [event for issue in issues for event in issue["events"]]
    assert len(events) == len(ONE_ISSUE_EACH)
    titles = {issue["calculated_type"] for issue in issues}
    # Bugsink titles a chain or a group by its innermost exception, a message by its text.
    assert titles >= {"LedgerError", "HTTPException"}
    by_transaction: dict[str, list[dict[str, Any]]] = {}
    for event in events:
        by_transaction.setdefault(str(event["data"].get("transaction")), []).append(event)
    for path in set(ONE_ISSUE_EACH) - {"/in-a-thread"}:
        [event] = by_transaction[f"GET {path}"]
        assert re.fullmatch("[0-9a-f]{32}", trace_of(event["data"])["trace_id"]), path
    [unhandled] = by_transaction["GET /unhandled"]
    assert "LedgerError" in unhandled["stacktrace_md"]
    assert "in `work` [in-app]" in unhandled["stacktrace_md"]
    assert "[redacted:" in unhandled["stacktrace_md"]
    # Four digits are not checked: they occur in ids and times by chance.
    assert canaries.leaks(str(events).encode(), {"local variable": "4111 1111 1111 1111"}) == []
    [issue] = [one for one in issues if unhandled["issue"] == one["id"]]
    assert issue["transaction"] == "GET /unhandled"
    assert {"component": "shop", "release": "shop@1.0", "environment": "production"}.items() <= issue[
        "tags"
    ].items()
