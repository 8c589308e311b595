"""Each error is one issue in Sentry, linked to its trace, with its context, however it is reported."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest

from e2e.conftest import StartService
from e2e.receiver import Receiver
from e2e.relay import judge
from e2e.service import Service
from e2e.transactions import requests, trace_of

pytestmark = pytest.mark.e2e

ONE_ISSUE_EACH = {
    # path: type of the issue's outermost exception, whether it was handled
    "/unhandled": ("LedgerError", False),
    "/logged-and-raised": ("LedgerError", True),
    "/recorded-and-raised": ("LedgerError", False),
    "/recorded-then-logged": ("LedgerError", True),
    "/only-recorded": ("LedgerError", True),
    "/only-logged": (None, None),
    "/chained": ("RuntimeError", False),
    "/group": ("ExceptionGroup", False),
    "/in-a-thread": ("LedgerError", False),
    "/in-the-background": ("LedgerError", False),
    "/while-streaming": ("LedgerError", False),
    "/unavailable": ("HTTPException", True),
}
NO_ISSUE = ("/not-found", "/not-found-inside-a-span", "/invalid/x")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "errors"
    folder.mkdir()
    shutil.copy(Path(__file__).with_name("errors_app.py"), folder / "app.py")
    return folder


def ask(service: Service, path: str) -> None:
    try:
        service.client.get(path)
    except httpx.RemoteProtocolError:
        assert path == "/while-streaming"


def outermost(event: dict[str, Any]) -> dict[str, Any] | None:
    """Return the exception that Sentry shows as the issue: the last value, or the exception group."""
    values = event.get("exception", {}).get("values", [])
    groups = [one for one in values if one.get("mechanism", {}).get("is_exception_group")]
    return (groups or values or [None])[-1]


@pytest.mark.parametrize("source", ["native", "contrib"])
def test_every_error_is_one_issue_of_its_trace(
    receiver: Receiver, start_service: StartService, folder: Path, source: str
) -> None:
    service = start_service(
        {"SENTRY_DSN": receiver.dsn, "MITA_OTEL_INSTRUMENTATION__FASTAPI": source}, folder
    )
    for path in (*ONE_ISSUE_EACH, *NO_ISSUE):
        ask(service, path)
    service.stop()
    asked = len(ONE_ISSUE_EACH) + len(NO_ISSUE)
    receiver.wait_for(lambda r: len(requests(r)) >= asked and len(r.events) >= len(ONE_ISSUE_EACH))

    traces = {
        trace_of(one)["trace_id"]: one["transaction"].removeprefix("GET ") for one in requests(receiver)
    }
    by_path: dict[str, list[dict[str, Any]]] = {}
    for event in receiver.events:
        # A thread has no trace: its issue names the thread, and no request.
        by_path.setdefault(traces.get(trace_of(event)["trace_id"], "/in-a-thread"), []).append(event)
    assert {path: len(events) for path, events in by_path.items()} == dict.fromkeys(ONE_ISSUE_EACH, 1)
    for path, (kind, handled) in ONE_ISSUE_EACH.items():
        [event] = by_path[path]
        judge(event)
        shown = outermost(event)
        assert (shown["type"] if shown else None) == kind, path
        if shown:
            assert shown["mechanism"]["handled"] is handled, path
        if path != "/in-a-thread":
            assert event["transaction"] == f"GET {path}", path
            assert event["tags"]["component"], path
            assert event["request"]["url"].endswith(path)
    assert b"4111111111111111" not in receiver.raw.replace(b" ", b"")
    [chained] = by_path["/chained"]
    assert [one["type"] for one in chained["exception"]["values"]] == ["LedgerError", "RuntimeError"]
    [group] = by_path["/group"]
    assert "LedgerError" in {one["type"] for one in group["exception"]["values"]}


def test_an_issue_has_breadcrumbs_and_a_stack_with_redacted_variables(
    receiver: Receiver, start_service: StartService, folder: Path
) -> None:
    service = start_service(
        {"SENTRY_DSN": receiver.dsn, "SENTRY_RELEASE": "shop@1.0", "OTEL_SERVICE_NAME": "shop"}, folder
    )
    service.client.get(
        "/unhandled?token=abc123secret", headers={"user-agent": "curl", "cookie": "sid=c00kie"}
    )
    service.client.post("/unhandled-with-body", json={"amount": 5, "password": "hunter2"})
    service.stop()
    receiver.wait_for(lambda r: len(r.events) >= 2)

    first, second = sorted(receiver.events, key=lambda event: event["timestamp"])
    [crumb] = [one for one in first["breadcrumbs"]["values"] if one["message"] == "about to fail"]
    assert crumb["category"] == "shop"
    frames = outermost(first)["stacktrace"]["frames"]  # type: ignore[index]
    assert frames[-1]["function"] == "work"
    assert frames[-1]["vars"]["what"] == "'unhandled'"
    assert "[redacted:" in frames[-1]["vars"]["secret_number"]
    assert any(frame.get("in_app") for frame in frames)
    assert first["request"]["method"] == "GET"
    assert first["request"]["headers"]["user-agent"] == "curl"
    assert (first["release"], first["environment"], first["tags"]["component"]) == (
        "shop@1.0",
        "production",
        "shop",
    )
    assert second["request"]["data"] == {"amount": 5, "password": "[redacted:password]"}
    for secret in (b"abc123secret", b"c00kie", b"hunter2"):
        assert secret not in receiver.raw


def test_an_error_reaches_sentry_despite_a_failing_exporter(
    receiver: Receiver, start_service: StartService, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "spool").mkdir()
    service = start_service(
        {
            "SENTRY_DSN": receiver.dsn,
            "OTEL_TRACES_EXPORTER": "file,sentry",
            "MITA_OTEL_FILE": str(tmp_path / "spool"),  # a folder: every write fails
        },
        folder,
    )
    ask(service, "/unhandled")
    service.stop()
    receiver.wait_for(lambda r: r.events and requests(r))
    assert len(receiver.events) == 1


def test_capturing_errors_can_be_disabled(
    receiver: Receiver, start_service: StartService, folder: Path
) -> None:
    service = start_service({"SENTRY_DSN": receiver.dsn, "MITA_OTEL_SENTRY__CAPTURE_ERRORS": "false"}, folder)
    for path in ("/unhandled", "/only-logged", "/only-recorded"):
        ask(service, path)
    service.stop()
    receiver.wait_for(lambda r: len(requests(r)) >= 3)
    assert receiver.events == []


def test_log_records_become_sentry_logs_by_policy_redacted_and_linked(
    receiver: Receiver, start_service: StartService, folder: Path
) -> None:
    service = start_service({"SENTRY_DSN": receiver.dsn, "MITA_OTEL_SENTRY__LOGS": "true"}, folder)
    ask(service, "/unhandled")
    ask(service, "/only-logged")
    service.stop()
    receiver.wait_for(lambda r: r.items("log") and len(requests(r)) >= 2)
    logs = [one for item in receiver.items("log") for one in item["items"]]
    [warning] = [one for one in logs if one["body"] == "about to fail"]
    [error] = [one for one in logs if one["body"] == "the queue of payments is full"]
    [request] = [one for one in requests(receiver) if one["transaction"] == "GET /unhandled"]
    assert (warning["level"], error["level"]) == ("warn", "error")
    assert warning["trace_id"] == trace_of(request)["trace_id"]
    assert warning["attributes"]["logger.name"]["value"] == "shop"
    assert b"4111111111111111" not in receiver.raw.replace(b" ", b"")
    assert len(receiver.events) == 2, "still one issue each"


def test_release_health_counts_sampled_and_unsampled_requests(
    receiver: Receiver, start_service: StartService, folder: Path
) -> None:
    service = start_service(
        {
            "SENTRY_DSN": receiver.dsn,
            "SENTRY_RELEASE": "shop@1.0",
            "MITA_OTEL_SAMPLING__MODE": "tail",
            "SENTRY_TRACES_SAMPLE_RATE": "0",
        },
        folder,
    )
    for path in ("/unhandled", "/only-logged", "/unavailable", "/not-found", "/invalid/1", "/invalid/2"):
        ask(service, path)
    service.stop()
    receiver.wait_for(lambda r: r.items("sessions"))
    counted: Counter[str] = Counter()
    for item in receiver.items("sessions"):
        assert item["attrs"] == {"release": "shop@1.0", "environment": "production"}
        for aggregate in item["aggregates"]:
            counted.update({name: count for name, count in aggregate.items() if name != "started"})
    assert counted == {"exited": 3, "errored": 2, "crashed": 1}
    kept = {"GET /unhandled", "GET /unavailable", "GET /only-logged"}
    assert {one["transaction"] for one in requests(receiver)} == kept, "every issue has its trace"
    reported = [one for item in receiver.client_reports for one in item["discarded_events"]]
    left_out = {one["category"]: one["quantity"] for one in reported if one["reason"] == "sample_rate"}
    assert left_out["transaction"] == 3, "Sentry's statistics know of those that sampling left out"
