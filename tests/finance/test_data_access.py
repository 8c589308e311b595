"""Requests for cardholder data are audited before they are answered."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from finance.asgi import request
from finance.recording import Recording
from mita_otel import FinancialSentryMiddleware
from mita_otel.finance.audit_signal import AuditSignal


async def answer(request: Any) -> JSONResponse:
    return JSONResponse({}, status_code=int(request.query_params.get("status", "200")))


APP = FinancialSentryMiddleware(
    Starlette(
        routes=[
            Route("/api/cards/{card_id}", answer, methods=["GET", "DELETE"]),
            Route("/api/budgets", answer),
        ]
    )
)


@pytest.fixture
def audited(recording: Recording, monkeypatch: pytest.MonkeyPatch) -> list[AuditSignal]:
    monkeypatch.setattr(recording.runtime, "wants_access", lambda: True)
    return recording.audit.signals


@pytest.mark.parametrize(
    ("method", "path", "query", "outcome"),
    [
        ("GET", "/api/cards/7", b"", "success"),
        ("DELETE", "/api/cards/7", b"status=204", "success"),
        ("GET", "/api/cards/7", b"status=403", "refused"),
        ("GET", "/api/cards/7", b"status=401", "refused"),
        ("GET", "/api/cards/7", b"status=500", "failure"),
        ("GET", "/api/cards/7", b"status=404", "failure"),
    ],
)
async def test_an_access_is_audited_with_route_and_outcome(
    audited: list[AuditSignal], method: str, path: str, query: bytes, outcome: str
) -> None:
    await request(APP, method, path, query_string=query, state={"user": "u-1"})
    [signal] = [one for one in audited if one.name == "data_access"]
    assert (signal.kind, signal.outcome, signal.user_id, signal.address) == (
        "custom",
        outcome,
        "u-1",
        "192.0.2.7",
    )
    assert (signal.details["method"], signal.details["route"]) == (method, "/api/cards/{card_id}")
    assert signal.request_id


async def test_other_requests_are_not_audited(audited: list[AuditSignal]) -> None:
    await request(APP, "GET", "/api/budgets")
    assert [one for one in audited if one.name == "data_access"] == []


async def test_without_an_audit_trail_no_access_is_recorded(recording: Recording) -> None:
    await request(APP, "GET", "/api/cards/7")
    assert recording.audit.signals == []


async def test_an_access_is_recorded_off_the_event_loop(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording.runtime, "wants_access", lambda: True)
    threads: list[int] = []
    monkeypatch.setattr(recording.audit, "record", lambda signal: threads.append(threading.get_ident()))
    await request(APP, "GET", "/api/cards/7")
    assert threads != [threading.get_ident()]
    assert len(threads) == 1


async def test_a_failing_trail_does_not_affect_the_response(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording.runtime, "wants_access", lambda: True)
    monkeypatch.setattr(recording.audit, "record", lambda signal: 1 / 0)
    answered = await request(APP, "GET", "/api/cards/7")
    assert answered.status == 200
