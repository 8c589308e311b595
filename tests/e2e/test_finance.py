"""The financial API from a service to Sentry and an OpenTelemetry collector, with nothing configured but where to send."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict

from e2e.conftest import StartService
from e2e.receiver import Receiver
from e2e.relay import judge
from e2e.service import Service

pytestmark = pytest.mark.e2e


@pytest.fixture
def bank_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "bank"
    folder.mkdir()
    shutil.copy(Path(__file__).with_name("finance_app.py"), folder / "app.py")
    return folder


@pytest.fixture
def bank(receiver: Receiver, start_service: StartService, bank_folder: Path) -> Service:
    return start_service(settings(receiver), bank_folder)


def settings(receiver: Receiver, **extra: str) -> dict[str, str]:
    return {
        "SENTRY_DSN": receiver.dsn,
        "OTEL_TRACES_EXPORTER": "sentry,otlp",
        "OTEL_LOGS_EXPORTER": "otlp",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.otlp_endpoint,
        "MITA_OTEL_SAMPLING__MODE": "always",
        **extra,
    }


def transact(service: Service, number: int, wait_s: float = 0) -> dict[str, Any]:
    answer = service.client.post(
        "/api/transactions",
        json={"transaction_id": f"tx-{number}", "wait_s": wait_s},
        headers={"x-signed-in": f"u-{number}", "x-request-id": f"req-{number}"},
    )
    assert answer.headers["x-request-id"] == f"req-{number}"
    return dict(answer.raise_for_status().json())


def event(receiver: Receiver, event_id: str) -> dict[str, Any]:
    return dict(
        receiver.wait_for(lambda r: next((one for one in r.events if one["event_id"] == event_id), None))
    )


def records(receiver: Receiver) -> list[dict[str, Any]]:
    """Log records, with their attributes as a mapping."""
    with receiver.changed:
        messages = [one.message for one in receiver.requests if one.path == "/v1/logs"]
    found = []
    for message in messages:
        for resource in MessageToDict(message).get("resourceLogs", []):
            for scope in resource.get("scopeLogs", []):
                for record in scope.get("logRecords", []):
                    known = {one["key"]: plain(one.get("value", {})) for one in record.get("attributes", [])}
                    found.append({**record, "attributes": known})
    return found


def plain(value: dict[str, Any]) -> Any:
    for kind, content in value.items():
        if kind == "kvlistValue":
            return {one["key"]: plain(one.get("value", {})) for one in content.get("values", [])}
        if kind == "arrayValue":
            return [plain(one) for one in content.get("values", [])]
        return content
    return None


def test_a_captured_error_is_the_same_event_in_sentry_and_in_opentelemetry(
    receiver: Receiver, bank: Service
) -> None:
    event_id = transact(bank, 7)["event_id"]
    bank.stop()
    issue = event(receiver, event_id)
    judge(issue)
    assert issue["level"] == "fatal"
    exception = issue["exception"]["values"][-1]
    assert exception["type"] == "ConnectionError"
    assert exception["value"] == "gateway refused tx-7 of card [redacted:pan]"
    assert exception["stacktrace"]["frames"][-1]["function"] == "gateway"
    assert exception["mechanism"]["handled"] is True
    assert issue["user"]["id"] == "u-7"
    assert issue["user"]["email"] == "u-7@example.com"
    assert issue["fingerprint"] == ["payment_processing", "ConnectionError", "app.gateway"]
    expected = {
        "financial_service": "true",
        "severity": "critical",
        "error_category": "payment_processing",
        "financial_operation": "settle_transaction",
        "transaction_id": "tx-7",
    }
    assert {name: issue["tags"].get(name) for name in expected} == expected
    financial = issue["contexts"]["financial"]
    assert (financial["amount"], financial["currency"], financial["transaction_id"]) == (
        "9.90",
        "EUR",
        "tx-7",
    )
    assert issue["contexts"]["additional"]["payment_method"] == "credit_card"
    assert issue["request"]["method"] == "POST"
    assert issue["request"]["url"].endswith("/api/transactions")
    crumbs = [crumb["message"] for crumb in issue["breadcrumbs"]["values"]]
    assert "checking for u-7" in crumbs
    [transaction] = [one for one in receiver.transactions if one["transaction"] == "POST /api/transactions"]
    assert issue["contexts"]["trace"]["trace_id"] == transaction["contexts"]["trace"]["trace_id"]
    spans = {span["span_id"]: span for span in transaction["spans"]}
    assert spans[issue["contexts"]["trace"]["span_id"]]["data"]["mita.operation"] == "settle_transaction"
    assert transaction["user"]["id"] == "u-7"
    assert transaction["tags"]["transaction_id"] == "tx-7"

    [record] = [one for one in records(receiver) if one.get("eventName") == "mita.error"]
    assert record["attributes"]["mita.event.id"] == event_id
    assert record["attributes"]["user.id"] == "u-7"
    assert record["attributes"]["mita.contexts"]["financial"]["amount"] == "9.90"
    [operation] = [span for span in receiver.otlp_spans if span["name"] == "settle_transaction"]
    assert record["spanId"] == operation["spanId"]
    found = {one["key"]: plain(one["value"]) for one in operation["attributes"]}
    assert found["mita.event.id"] == event_id
    for secret in (b"4111 1111", b"4111111111111111", b"tok-qW8xZr2LmN5v"):
        assert secret not in receiver.raw


@pytest.mark.parametrize("source", ["native", "contrib"])
def test_an_unhandled_error_is_one_issue_with_its_category(
    receiver: Receiver, start_service: StartService, bank_folder: Path, source: str
) -> None:
    bank = start_service(settings(receiver, MITA_OTEL_INSTRUMENTATION__FASTAPI=source), bank_folder)
    answer = bank.client.post("/api/payments/p-1", headers={"x-signed-in": "u-1"})
    assert answer.status_code == 500
    assert bank.client.get("/api/unavailable/payments").status_code == 503
    bank.stop()
    receiver.wait_for(lambda r: len(r.events) >= 2)
    failed, unavailable = sorted(receiver.events, key=lambda one: one["timestamp"])
    assert failed["tags"]["error_category"] == "payment_processing"
    assert failed["tags"]["financial_operation"] == "process_payment"
    assert failed["tags"]["transaction_id"] == "p-1"
    assert failed["exception"]["values"][-1]["mechanism"]["handled"] is False
    assert failed["user"]["id"] == "u-1"
    assert "paying for u-1" in [crumb["message"] for crumb in failed["breadcrumbs"]["values"]]
    assert unavailable["exception"]["values"][-1]["type"] == "HTTPException"
    assert unavailable["tags"]["error_category"] == "payment_processing"
    for issue in receiver.events:
        judge(issue)
    assert len([one for one in records(receiver) if one.get("eventName") == "mita.error"]) == 2


def test_security_and_compliance_events_are_issues_by_the_policy(receiver: Receiver, bank: Service) -> None:
    answers = [bank.client.post("/api/login/ada").json()["event_id"] for _ in range(5)]
    violation = bank.client.post("/api/audit").json()["event_id"]
    bank.stop()
    assert answers == [""] * 5, "a failed login of medium severity is no issue"
    issue = event(receiver, violation)
    assert issue["tags"]["error_category"] == "compliance_issue"
    assert issue["logentry"]["formatted"] == "PCI_DSS 3.4: violation"
    [attack] = [one for one in receiver.events if one["event_id"] != violation]
    assert attack["tags"]["security_event"] == "brute_force_suspected"
    assert attack["tags"]["severity"] == "security_critical"
    assert attack["level"] == "fatal"
    assert attack["user"]["id"] == "ada"
    for one in receiver.events:
        judge(one)
    kinds = [one["attributes"].get("mita.security.event_type") for one in records(receiver)]
    assert kinds.count("failed_login") == 5


def test_concurrent_requests_share_no_context(receiver: Receiver, bank: Service) -> None:
    def ask(number: int) -> None:
        if number % 2:
            transact(bank, number, wait_s=0.05)
        else:
            bank.client.post(
                f"/api/payments/tx-{number}",
                params={"wait_s": 0.05},
                headers={"x-signed-in": f"u-{number}", "x-request-id": f"req-{number}"},
            )

    with ThreadPoolExecutor(40) as pool:
        list(pool.map(ask, range(80)))
    bank.stop()
    receiver.wait_for(lambda r: len(r.events) >= 80)
    receiver.wait_for(lambda r: len(r.transactions) >= 80)
    seen = 0
    for number, texts in known_of(receiver):
        seen += 1
        assert set(texts) <= {f"u-{number}", f"tx-{number}", f"req-{number}"}, (number, texts)
    assert seen >= 80 * 6


def known_of(receiver: Receiver) -> Iterator[tuple[str, list[str]]]:
    """Yield the user's number and the whole content of each span, error and log record with a user."""
    names = ("user.id", "mita.transaction.id", "mita.request.id")
    for span in receiver.otlp_spans:
        found = {one["key"]: plain(one["value"]) for one in span.get("attributes", [])}
        if "user.id" in found:
            yield found["user.id"].removeprefix("u-"), [found[name] for name in names if name in found]
    for record in records(receiver):
        found = record["attributes"]
        if "user.id" in found:
            crumbs = [crumb["message"].split()[-1] for crumb in found.get("mita.breadcrumbs") or []]
            yield (
                found["user.id"].removeprefix("u-"),
                [*(found[name] for name in names if name in found), *crumbs],
            )
    for issue in receiver.events:
        texts = [issue["user"]["id"], issue["tags"]["transaction_id"]]
        assert "breadcrumbs" in issue, {k: v for k, v in issue.items() if k not in ("modules", "contexts")}
        # A query or a slow check-out belongs to a user by its trace only: its statement names tables.
        own = [
            crumb
            for crumb in issue["breadcrumbs"]["values"]
            if crumb["category"] != "query" and crumb["message"] != "connect"
        ]
        crumbs = [crumb["message"].split()[-1] for crumb in own]
        yield issue["user"]["id"].removeprefix("u-"), [*texts, *crumbs]
