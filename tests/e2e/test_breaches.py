"""An exceeded limit is visible on the span, on its transaction, in the counter and in the log."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict

from e2e.conftest import StartService
from e2e.receiver import Receiver
from e2e.relay import judge
from e2e.transactions import database_spans, named, requests, trace_of

pytestmark = pytest.mark.e2e


def test_a_slow_endpoint_is_a_performance_issue_with_its_rule_and_limit(
    receiver: Receiver, start_service: StartService
) -> None:
    service = start_service({"SENTRY_DSN": receiver.dsn})
    service.client.get("/api/accounts/1/balance?wait_s=0.32")
    service.client.get("/api/accounts/2/balance")
    service.stop()
    receiver.wait_for(lambda r: len(requests(r)) >= 2)

    quick, slow = sorted(requests(receiver), key=lambda t: t["timestamp"] - t["start_timestamp"])
    assert slow["tags"]["performance_issue"] == "true"
    assert slow["tags"]["latency_rule"].startswith("api.financial.GET")
    assert slow["tags"]["latency_limit_ms"] == "300"
    data = trace_of(slow)["data"]
    assert data["mita.latency.exceeded"] is True
    assert data["mita.latency.limit_ms"] == 300
    assert data["mita.latency.duration_ms"] > 300
    assert [event["name"] for event in data["otel.events"]] == ["mita.latency.breach"]
    assert "performance_issue" not in quick["tags"]
    assert "latency" not in quick["contexts"]
    judge(slow)


def test_a_slow_query_is_visible_on_its_transaction(receiver: Receiver, start_service: StartService) -> None:
    service = start_service({"SENTRY_DSN": receiver.dsn})
    service.client.get("/api/reports/1?wait_s=0.22")
    service.stop()
    receiver.wait_for(requests)

    [transaction] = requests(receiver)
    assert transaction["tags"]["performance_issue"] == "true"
    assert transaction["tags"]["latency_rule"] == "database.SELECT"
    assert transaction["tags"]["latency_limit_ms"] == "200"
    assert "mita.latency.exceeded" not in trace_of(transaction)["data"], "the request itself was in time"
    [query] = database_spans(transaction)
    assert query["data"]["mita.latency.rule"] == "database.SELECT"
    [breach] = transaction["contexts"]["latency"]["breaches"]
    assert (breach["span_id"], breach["limit_ms"]) == (query["span_id"], 200)
    judge(transaction)


@pytest.mark.parametrize(
    ("environment", "expected"), [("production", "true"), ("staging", None), ("development", None)]
)
def test_the_environment_selects_the_limits(
    receiver: Receiver, start_service: StartService, environment: str, expected: str | None
) -> None:
    service = start_service({"SENTRY_DSN": receiver.dsn, "ENVIRONMENT": environment})
    service.client.get("/api/accounts/1/balance?wait_s=0.32")
    service.stop()
    receiver.wait_for(requests)
    [transaction] = named(receiver, "GET /api/accounts/{account_id}/balance")
    assert transaction["tags"].get("performance_issue") == expected
    assert transaction["environment"] == environment


def test_breaches_are_counted_by_kind_and_rule_and_logged_once_per_rule(
    receiver: Receiver, start_service: StartService
) -> None:
    service = start_service(
        {
            "SENTRY_DSN": receiver.dsn,
            "OTEL_METRICS_EXPORTER": "otlp",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.otlp_endpoint,
            "MITA_OTEL_THRESHOLDS__API__METHODS__GET": "0.001",
        }
    )
    for number in range(5):
        service.client.get(f"/api/items/{number}")
    service.stop()

    receiver.wait_for(lambda r: sum(_counted(r, "mita.latency.breaches").values()) >= 5)
    assert _counted(receiver, "mita.latency.breaches") == {("api", "api.methods.GET"): 5}
    said = [line for line in service.stderr.lines if "api.methods.GET" in line]
    assert len(said) == 1, service.said
    assert "/api/items/{item_id}" in said[0]


def _counted(receiver: Receiver, name: str) -> dict[tuple[str, str], int]:
    """Return the newest value of each series of the counter."""
    newest: dict[tuple[str, str], int] = {}
    for one in receiver.requests:
        if one.path != "/v1/metrics":
            continue
        for point in _points(MessageToDict(one.message), name):
            labels = {a["key"]: a["value"].get("stringValue", "") for a in point["attributes"]}
            newest[labels.get("kind", ""), labels.get("rule", "")] = int(point["asInt"])
    return newest


def _points(message: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return [
        point
        for resource in message.get("resourceMetrics", [])
        for scope in resource.get("scopeMetrics", [])
        for metric in scope.get("metrics", [])
        if metric["name"] == name
        for point in metric["sum"]["dataPoints"]
    ]
