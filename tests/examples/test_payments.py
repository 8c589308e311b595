"""The example service behaves as its README describes, on SQLite and PostgreSQL, without telemetry code."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from e2e import canaries
from e2e.service import Service
from examples.conftest import EXAMPLES
from mita_otel.exporters.span_record import SpanRecord, read_spans

VISA, DECLINED, PASSWORD = "4111111111111111", "4000000000000002", "hunter2-Zx81Qp"
PAYMENT = {"card_number": VISA, "cvv": "123", "amount": "25.00", "payee": "Corner Market"}
TAKEN = {"customer_id": 1, "account_number": "000123456789", "iban": "DE89370400440532013000"}
SECRETS = {"card": VISA, "declined card": DECLINED, "password": PASSWORD, "account number": "000123456789"}

CONVERSATION: list[tuple[str, str, object, int]] = [
    ("GET", "/health", None, 200),
    ("GET", "/api/customers/1/profile", None, 200),
    ("GET", "/api/customers/77/profile", None, 404),
    ("GET", "/api/accounts/1", None, 200),
    ("GET", "/api/accounts/1/transactions?limit=5", None, 200),
    ("GET", "/api/accounts/1/balance?simulate_ms=310", None, 200),
    ("GET", "/api/accounts/1/statement?simulate_ms=210", None, 200),
    ("PUT", "/api/budgets/1", {"monthly_limit": "10"}, 200),
    ("POST", "/api/transactions?simulate_ms=820", {"account_id": 1, "amount": "-1", "merchant": "x"}, 201),
    ("POST", "/api/transactions", {"account_id": 77, "amount": "-1", "merchant": "x"}, 404),
    ("POST", "/api/payments", PAYMENT, 201),
    ("PUT", "/api/payments/1?simulate_ms=1010", None, 200),
    ("GET", "/api/payments/1", None, 200),
    ("POST", "/api/payments", PAYMENT | {"amount": "99999"}, 402),
    ("POST", "/api/payments", PAYMENT | {"cvv": "12x"}, 422),
    ("POST", "/api/payments", PAYMENT | {"card_number": DECLINED}, 500),
    ("POST", "/api/accounts", TAKEN, 500),
    ("POST", "/api/accounts", TAKEN | {"account_number": "000555555559"}, 201),
    ("DELETE", "/api/accounts/{opened}", None, 204),
    ("DELETE", "/api/accounts/1", None, 409),
    (
        "POST",
        "/api/cards",
        {"account_id": 1, "card_number": "378282246310005", "cvv": "1234", "expires": "10/29"},
        201,
    ),
    ("GET", f"/api/cards/{VISA}", None, 200),
    ("GET", f"/api/cards/search?card_number={VISA}&pin=8642", None, 200),
    ("POST", "/api/auth/login", {"email": "ada@example.com", "password": PASSWORD}, 401),
]
BREACHES = {
    ("GET /api/accounts/{account_id}/balance", "api.financial.GET"),
    ("SELECT transactions", "database.SELECT"),
    ("PUT /api/payments/{payment_id}", "api.financial.PUT"),
    ("UPDATE payments", "database.UPDATE"),
    ("POST /api/transactions", "api.financial.POST"),
}


@pytest.fixture
def postgresql(postgresql_url: str) -> str:
    """The URL of an empty database, without the driver's name, as one is used to."""
    return postgresql_url.replace("+psycopg", "")


def test_the_service_contains_no_telemetry_code() -> None:
    files = [path for path in (EXAMPLES / "payments").rglob("*.py") if not path.name.startswith("demo")]
    assert len(files) > 10
    for path in files:
        imports = [line for line in path.read_text().splitlines() if re.match(r"\s*(from|import) ", line)]
        assert not [line for line in imports if re.search("mita|opentelemetry|sentry", line)], path


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("database", "fastapi"), [("sqlite", "native"), ("sqlite", "contrib"), ("postgresql", "native")]
)
def test_every_scenario_of_the_readme_can_be_triggered(
    start_payments: Callable[..., Service], postgresql: str, tmp_path: Path, database: str, fastapi: str
) -> None:
    database_url = postgresql if database == "postgresql" else f"sqlite:///{tmp_path}/payments.db"
    path = tmp_path / "spans.jsonl"
    service = start_payments(
        {
            "DATABASE_URL": database_url,
            "OTEL_TRACES_EXPORTER": "file,console",
            "MITA_OTEL_FILE": str(path),
            "MITA_OTEL_INSTRUMENTATION__FASTAPI": fastapi,
        }
    )
    opened = 0
    for method, url, body, status in CONVERSATION:
        answer = service.client.request(method, url.replace("{opened}", str(opened)), json=body)
        assert answer.status_code == status, (method, url, answer.text)
        if (method, url, status) == ("POST", "/api/accounts", 201):
            opened = answer.json()["id"]
    budgets = service.client.get("/api/accounts/1/budgets").json()
    assert len(budgets) == 8
    token = service.client.post(
        "/api/auth/login", json={"email": "ada@example.com", "password": "correct horse"}
    ).json()["access_token"]
    assert service.client.get("/api/auth/session", params={"token": token}).json()["customer_id"] == 1
    service.stop()

    spans = list(read_spans(path))
    assert len([span for span in spans if span.kind == "SERVER"]) == len(CONVERSATION) + 3
    # (On a busy machine others may break their limits as well.)
    assert {(span.name, span.attributes["mita.latency.rule"]) for span in spans if span.exceeded} >= BREACHES
    _check_errors(spans)
    written = path.read_bytes() + service.stdout.text.encode()
    assert canaries.leaks(written, SECRETS | {"token": token}) == []
    assert "▲" in service.stdout.text


def _check_errors(spans: list[SpanRecord]) -> None:
    failed = {span.name: span for span in spans if span.failed}
    assert set(failed) == {"POST /api/payments", "POST /api/accounts", "INSERT accounts"}
    [event] = [event for event in failed["POST /api/payments"].events if event.name == "exception"]
    assert event.attributes["exception.message"] == "do not honour: card [redacted:pan], cvv [redacted:cvv]"
    [insert] = [span for span in spans if span.name == "INSERT accounts" and span.failed]
    assert "account_number" in str(insert.status_description)


@pytest.mark.e2e
def test_workers_that_start_together_fill_the_database_once(
    start_payments: Callable[..., Service], postgresql: str, tmp_path: Path
) -> None:
    for url in (f"sqlite:///{tmp_path}/payments.db", postgresql):
        service = start_payments({"DATABASE_URL": url, "OTEL_TRACES_EXPORTER": "none"}, launcher="workers")
        assert len(service.client.get("/api/accounts/2/budgets").json()) == 8
        assert service.stop() in {0, -15, 143}
