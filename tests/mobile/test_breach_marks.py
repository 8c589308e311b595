"""A breach in an app's telemetry is marked like a breach in the backend's telemetry."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mita_otel.mobile.app_spans import spans_of_item, spans_of_transaction
from mita_otel.mobile.measurement import Measurer, mark_streamed, mark_transaction
from mita_otel.policy import Policy, default_policy
from mobile.kit import first_item as item
from mobile.kit import policy_with_limits as policy_with
from mobile.kit import transaction


def marked(event: dict[str, Any], policy: Policy | None = None) -> dict[str, Any]:
    found = Measurer(policy or default_policy()).measure(spans_of_transaction(event))
    mark_transaction(event, found)
    return event


def test_a_breach_marks_the_transaction_with_rule_and_limit() -> None:
    event = marked(item("screen_render"))
    tags = event["tags"]
    assert (tags["performance_issue"], tags["latency_rule"], tags["latency_limit_ms"]) == (
        "true",
        "mobile.screen",
        "1000",
    )
    assert tags["platform"] == "android"
    data = event["contexts"]["trace"]["data"]
    assert data["mita.latency.exceeded"] is True
    assert (data["mita.latency.kind"], data["mita.latency.rule"]) == ("mobile_screen", "mobile.screen")
    assert (data["mita.latency.limit_ms"], data["mita.latency.overrun_ms"]) == (1000, pytest.approx(350))
    assert event["measurements"]["latency.limit"] == {"value": 1000, "unit": "millisecond"}
    assert event["contexts"]["latency"]["breaches"][0]["rule"] == "mobile.screen"


def test_a_breach_of_a_child_marks_the_child_and_the_transaction() -> None:
    event = marked(item("screen_render"), policy_with(screen_ms=5000, request_ms=1000))
    [query, request] = event["spans"]
    assert request["tags"] == {"performance_issue": "true"}
    assert request["data"]["mita.latency.rule"] == "mobile.request"
    assert "tags" not in query
    assert event["tags"]["latency_rule"] == "mobile.request"
    assert "measurements" not in event


def test_the_worst_breach_marks_the_transaction() -> None:
    event = marked(item("screen_render"), policy_with(screen_ms=1300, request_ms=100))
    assert event["tags"]["latency_rule"] == "mobile.request"
    assert [one["rule"] for one in event["contexts"]["latency"]["breaches"]] == [
        "mobile.screen",
        "mobile.request",
    ]


def test_a_transaction_within_its_limit_is_unchanged() -> None:
    event = item("api_request")
    assert marked(json.loads(json.dumps(event))) == event


def test_marks_are_added_to_malformed_events() -> None:
    event = transaction(ms=5000, tags=[["a", "b"], "x", ["c"]], measurements=[], extra=None)
    event["contexts"]["trace"]["data"] = "x"
    event["contexts"]["latency"] = 5
    shown = marked(event)
    assert shown["tags"]["a"] == "b"
    assert shown["tags"]["performance_issue"] == "true"
    assert shown["contexts"]["trace"]["data"]["mita.latency.exceeded"] is True


def test_a_streamed_span_carries_its_marks_as_typed_attributes() -> None:
    value = item("streamed_spans")
    mark_streamed(Measurer(default_policy()).measure(list(spans_of_item(value))))
    segment, request = value["items"]
    assert segment["attributes"]["mita.latency.exceeded"] == {"value": True, "type": "boolean"}
    assert segment["attributes"]["mita.latency.limit_ms"] == {"value": 1000.0, "type": "double"}
    assert segment["attributes"]["performance_issue"] == {"value": "true", "type": "string"}
    assert "mita.latency.exceeded" not in request["attributes"]
