"""A security event does not change which alert rules match later errors of the request."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from closing import Closing
from e2e.receiver import Receiver
from mita_otel import FinancialErrorCategory, capture_financial_error, configure, set_security_context
from mita_otel.policy import default_policy
from mita_otel.sentry.alert_rules.filters import EventFilter, filter_groups

POLICY = default_policy("production")
LEVELS = {"info": 20, "warning": 30, "error": 40, "fatal": 50}


def service() -> FastAPI:
    app = FastAPI()

    @app.post("/api/payments/{payment_id}")
    async def pay(payment_id: str) -> None:
        set_security_context("velocity_check", "low", {"attempts_per_minute": 3})
        raise ConnectionError("gateway refused")

    @app.post("/api/login")
    async def log_in() -> None:
        set_security_context("failed_login", "high", {"ip_address": "192.0.2.1"}, user_id="u-1")
        capture_financial_error(ValueError("ledger"), FinancialErrorCategory.TRANSACTION_PROCESSING)

    @app.post("/greeting")
    async def greet() -> None:
        set_security_context("failed_login", "high")
        logging.getLogger("bank").error("no greeting")

    return app


def passes(event: dict[str, Any], one: EventFilter) -> bool:
    tag = event.get("tags", {}).get(one.key)
    match one.about, one.operator:
        case "tag", "eq":
            return tag == one.value
        case "tag", "ne":
            return tag != one.value
        case "tag", "is":
            return tag is not None
        case "tag", "ns":
            return tag is None
        case "level", "gte":
            return LEVELS[event["level"]] >= int(one.value)
    raise AssertionError(one)


def matched(event: dict[str, Any]) -> set[str]:
    return {
        name
        for name in ("critical_financial_errors", "authentication_security_events")
        for group in filter_groups(POLICY, POLICY.alerts.rules[name])
        if all(passes(event, one) for one in group)
    }


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/api/payments/7", [("ConnectionError", {"critical_financial_errors"})]),
        ("/api/login", [("", set()), ("ValueError", {"critical_financial_errors"})]),
        ("/greeting", [("", set()), ("", set())]),
    ],
)
async def test_later_errors_match_the_rules_of_their_category(
    isolated_telemetry: None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    closing: Closing,
    path: str,
    expected: list[tuple[str, set[str]]],
) -> None:
    monkeypatch.chdir(tmp_path)
    receiver = closing(Receiver())
    monkeypatch.setenv("SENTRY_DSN", receiver.dsn)
    telemetry = configure(environment="test")
    transport = httpx.ASGITransport(service(), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://bank.example") as client:
        await client.post(path)
    assert telemetry.flush(30)
    events = sorted(receiver.events, key=lambda event: "security" not in event["contexts"])
    types = [event.get("exception", {}).get("values", [{"type": ""}])[-1]["type"] for event in events]
    assert [*zip(types, map(matched, events), strict=True)] == expected
    assert [event["tags"].get("security_event") for event in events[-1:]] == [None]
    assert "security" not in events[-1]["contexts"]
    if path == "/greeting":
        assert not {"error_category", "severity", "financial_service"} & set(events[-1]["tags"])
    [transaction] = receiver.transactions
    assert transaction["tags"]["security_event"] in {"velocity_check", "failed_login"}
