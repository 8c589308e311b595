"""A real PostgreSQL: database spans of psycopg, sync and async, and integrity errors."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2e import canaries
from e2e.conftest import StartService
from e2e.receiver import Receiver
from e2e.relay import judge
from e2e.transactions import assert_tree, database_spans, named, requests

pytestmark = pytest.mark.e2e


@pytest.fixture
def env(postgresql_url: str, receiver: Receiver) -> dict[str, str]:
    return {"APP_DATABASE": postgresql_url, "APP_ASYNC_DATABASE": postgresql_url, "SENTRY_DSN": receiver.dsn}


def test_sync_and_async_statements_are_spans_of_their_request(
    receiver: Receiver, start_service: StartService, env: dict[str, str]
) -> None:
    service = start_service(env)
    service.client.get("/api/items/1").raise_for_status()
    service.client.get("/api/async/1").raise_for_status()
    service.client.get("/api/reports/1?wait_s=0.22").raise_for_status()
    service.stop()
    receiver.wait_for(lambda r: len(requests(r)) >= 3)
    for name, count in (
        ("GET /api/items/{item_id}", 2),
        ("GET /api/async/{item_id}", 2),
        ("GET /api/reports/{report_id}", 1),
    ):
        [transaction] = named(receiver, name)
        spans = database_spans(transaction)
        assert len(spans) == count
        assert {span["data"]["db.system.name"] for span in spans} == {"postgresql"}
        assert_tree(transaction)
        judge(transaction)
    [slow] = named(receiver, "GET /api/reports/{report_id}")
    assert slow["tags"]["latency_rule"] == "database.SELECT"


def test_an_integrity_error_does_not_contain_the_key(
    receiver: Receiver, start_service: StartService, env: dict[str, str], tmp_path: Path
) -> None:
    service = start_service(
        {
            **env,
            "OTEL_TRACES_EXPORTER": "sentry,file",
            "MITA_OTEL_FILE": str(tmp_path / "spans.jsonl"),
        }
    )
    assert service.client.post(f"/api/same-card/{canaries.IDENTITY.secret}").status_code == 500
    service.stop()
    receiver.wait_for(lambda r: requests(r) and r.events)

    secret = {"integrity error": canaries.IDENTITY.secret}
    assert canaries.leaks(receiver.raw, secret) == []
    assert canaries.leaks((tmp_path / "spans.jsonl").read_bytes(), secret) == []
    # The useful part is kept: constraint and table.
    [event] = receiver.events
    text = str(event["exception"])
    assert "cards_pkey" in text
    assert "UniqueViolation" in text
    [transaction] = requests(receiver)
    assert database_spans(transaction)[-1]["status"] == "internal_error"
