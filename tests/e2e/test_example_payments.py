"""The example service, started as its README says: transactions, spans, limits, errors, and no secret."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from e2e import canaries
from e2e.conftest import StartService
from e2e.receiver import Receiver
from e2e.relay import judge
from e2e.service import Launcher
from e2e.transactions import assert_tree, database_spans, named, requests, trace_of

pytestmark = pytest.mark.e2e

FOLDER = Path(__file__).parents[2] / "examples" / "payments"

SECRETS = {
    "card in a path": "4111111111111111",
    "card in a query": "5555555555554444",
    "card that is declined": "4000000000000002",
    "password": "hunter2-Zx81Qp",
    "token in a query": "tok-qW8xZr2LmN5v",
    "header": "hdr-Jp7Kd0WsVb4y",
    "account number": "000123456789",
    "IBAN": "DE89370400440532013000",
}
CVV = "737"
PIN = "8642"

_DECLINED = {"card_number": SECRETS["card that is declined"], "cvv": CVV, "amount": "10", "payee": "Shop"}
_TAKEN = {"customer_id": 1, "account_number": SECRETS["account number"], "iban": SECRETS["IBAN"]}
_LOGIN = {"email": "ada@example.com", "password": SECRETS["password"]}

Ask = Callable[[httpx.Client], httpx.Response]

CONVERSATION: list[tuple[Ask, int, str, int]] = [
    # request, status of the response, name of the transaction, its statements
    (lambda c: c.get("/health"), 200, "GET /health", 0),
    (lambda c: c.get("/api/customers/1/profile"), 200, "GET /api/customers/{customer_id}/profile", 2),
    (lambda c: c.get("/api/accounts/1/transactions"), 200, "GET /api/accounts/{account_id}/transactions", 1),
    (lambda c: c.get("/api/accounts/1/budgets"), 200, "GET /api/accounts/{account_id}/budgets", 9),
    (lambda c: c.get("/api/accounts/999"), 404, "GET /api/accounts/{account_id}", 1),
    (
        lambda c: c.get("/api/accounts/1/balance?simulate_ms=320"),
        200,
        "GET /api/accounts/{account_id}/balance",
        2,
    ),
    (
        lambda c: c.get("/api/accounts/1/statement?simulate_ms=230"),
        200,
        "GET /api/accounts/{account_id}/statement",
        2,
    ),
    (lambda c: c.get(f"/api/cards/{SECRETS['card in a path']}"), 200, "GET /api/cards/{card_number}", 1),
    (
        lambda c: c.get(
            "/api/cards/search",
            params={"card_number": SECRETS["card in a query"], "pin": PIN},
            headers={"x-api-key": SECRETS["header"]},
        ),
        200,
        "GET /api/cards/search",
        1,
    ),
    (lambda c: c.post("/api/auth/login", json=_LOGIN), 401, "POST /api/auth/login", 1),
    (
        lambda c: c.get("/api/auth/session", params={"token": SECRETS["token in a query"]}),
        401,
        "GET /api/auth/session",
        1,
    ),
    (lambda c: c.post("/api/payments", json=_DECLINED), 500, "POST /api/payments", 2),
    (lambda c: c.post("/api/accounts", json=_TAKEN), 500, "POST /api/accounts", 1),
]


@pytest.mark.parametrize("launcher", ["single", "workers"])
def test_the_example_is_in_sentry_with_limits_and_without_secrets(
    receiver: Receiver, start_service: StartService, tmp_path: Path, launcher: Launcher
) -> None:
    spans_file = tmp_path / "spans.jsonl"
    service = start_service(
        {
            "SENTRY_DSN": receiver.dsn,
            "SENTRY_RELEASE": "payments@1.0.0",
            "OTEL_TRACES_EXPORTER": "sentry,otlp,console,file",
            "OTEL_LOGS_EXPORTER": "otlp",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.otlp_endpoint,
            "DATABASE_URL": f"sqlite:///{tmp_path}/payments.db",
            "MITA_OTEL_FILE": str(spans_file),
        },
        FOLDER,
        launcher=launcher,
    )
    for ask, status, name, _ in CONVERSATION:
        assert ask(service.client).status_code == status, name
    service.stop()

    receiver.wait_for(lambda r: len(requests(r)) >= len(CONVERSATION) and len(r.events) >= 2)
    assert Counter(one["transaction"] for one in requests(receiver)) == Counter(
        name for _, _, name, _ in CONVERSATION
    )
    for _, status, name, statements in CONVERSATION:
        [transaction] = named(receiver, name)
        _check(transaction, status, statements)
    _check_limits(receiver)
    _check_errors(receiver)
    written = b"\n".join([receiver.raw, service.stdout.text.encode(), spans_file.read_bytes()])
    assert canaries.leaks(written, SECRETS) == []
    assert not re.search(rb"cvv\W{1,8}" + CVV.encode(), written)
    assert not re.search(rb"pin\W{1,8}" + PIN.encode(), written)


def _check(transaction: dict[str, Any], status: int, statements: int) -> None:
    trace = trace_of(transaction)
    assert transaction["contexts"]["response"]["status_code"] == status
    assert (trace["status"] == "ok") is (status < 400)
    assert len(database_spans(transaction)) == statements, transaction["transaction"]
    assert {span["parent_span_id"] for span in database_spans(transaction)} <= {trace["span_id"]}
    assert transaction["release"] == "payments@1.0.0"
    assert_tree(transaction)
    judge(transaction)


def _check_limits(receiver: Receiver) -> None:
    slow = {
        one["transaction"]: (one["tags"]["latency_rule"], one["tags"]["latency_limit_ms"])
        for one in requests(receiver)
        if one["tags"].get("performance_issue") == "true"
    }
    # (On a busy machine others may be slow as well.)
    assert slow["GET /api/accounts/{account_id}/balance"] == ("api.financial.GET", "300")
    assert slow["GET /api/accounts/{account_id}/statement"] == ("database.SELECT", "200")


def _check_errors(receiver: Receiver) -> None:
    assert len(receiver.events) == 2
    by_type = {event["exception"]["values"][-1]["type"]: event for event in receiver.events}
    assert set(by_type) == {"CardDeclinedError", "IntegrityError"}
    for kind, name in (("CardDeclinedError", "POST /api/payments"), ("IntegrityError", "POST /api/accounts")):
        [transaction] = named(receiver, name)
        assert trace_of(by_type[kind])["trace_id"] == trace_of(transaction)["trace_id"]
        judge(by_type[kind])
    assert "do not honour" in by_type["CardDeclinedError"]["exception"]["values"][-1]["value"]


def test_a_payment_and_its_receipt_are_one_trace(
    receiver: Receiver, start_service: StartService, tmp_path: Path
) -> None:
    service = start_service(
        {"SENTRY_DSN": receiver.dsn, "DATABASE_URL": f"sqlite:///{tmp_path}/payments.db"}, FOLDER
    )
    body = {"card_number": SECRETS["card in a path"], "cvv": CVV, "amount": "10.00", "payee": "Shop"}
    assert service.client.post("/api/payments", json=body).status_code == 201
    service.stop()
    receiver.wait_for(requests)
    [payment] = named(receiver, "POST /api/payments")
    trace_id = trace_of(payment)["trace_id"]
    everywhere = [
        str(span)
        for one in receiver.transactions
        if trace_of(one)["trace_id"] == trace_id
        for span in [*one["spans"], trace_of(one)]
    ]
    # The receipt is written after the response: its query may come with the request or after it.
    assert sum("FROM payments" in span for span in everywhere) == 1
    assert canaries.leaks(receiver.raw, SECRETS) == []
