"""Limits apply to screens, requests and operations of an app, in any span format."""

from __future__ import annotations

from typing import Any

import pytest

from mita_otel.mobile.app_spans import spans_of_item, spans_of_transaction
from mita_otel.mobile.measurement import MeasuredSpan, Measurer
from mita_otel.policy import Policy, default_policy
from mobile.kit import first_item as item
from mobile.kit import policy_with_limits as policy_with
from mobile.kit import transaction


def measured_in(event: dict[str, Any], policy: Policy | None = None) -> list[tuple[str, str, int, str]]:
    found = Measurer(policy or default_policy()).measure(spans_of_transaction(event))
    return [shown(one) for _, one in found]


def shown(one: MeasuredSpan) -> tuple[str, str, int, str]:
    rule = one.verdict.breaches[0].rule if one.verdict.breaches else ""
    return one.kind, one.name, round(one.duration_ms), rule


def child(op: str, name: str, ms: float, span_id: str = "e" * 16, **data: Any) -> dict[str, Any]:
    return {
        "trace_id": "c" * 32,
        "span_id": span_id,
        "parent_span_id": "d" * 16,
        "op": op,
        "description": name,
        "start_timestamp": 1_700_000_000.0,
        "timestamp": 1_700_000_000.0 + ms / 1000,
        "data": data,
    }


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "screen_render",
            [
                ("mobile_screen", "TransactionScreen", 1350, "mobile.screen"),
                ("mobile_request", "GET api.mita.example", 1100, ""),
            ],
        ),
        ("api_request", [("mobile_request", "fetchTransactions", 420, "")]),
        ("payment_request", [("mobile_request", "submitPayment", 2400, "mobile.request")]),
        ("financial_operation", [("mobile_operation", "budgetCalculation", 1900, "mobile.operation")]),
        ("ui_load", [("mobile_screen", "/payments", 410, "")]),
        ("app_start", []),
        ("user_interaction", []),
    ],
)
def test_spans_of_the_guides_calls_and_of_the_sdk_are_measured(name: str, expected: list[Any]) -> None:
    assert measured_in(item(name)) == expected


def test_a_limit_by_name_takes_precedence() -> None:
    policy = policy_with(screens={"TransactionScreen": 1400}, requests={"GET api.mita.example": 1000})
    assert measured_in(item("screen_render"), policy) == [
        ("mobile_screen", "TransactionScreen", 1350, ""),
        ("mobile_request", "GET api.mita.example", 1100, "mobile.requests.GET api.mita.example"),
    ]


@pytest.mark.parametrize(("ms", "breached"), [(999, False), (1000, False), (1000.5, True)])
def test_a_duration_equal_to_the_limit_is_not_a_breach(ms: float, breached: bool) -> None:
    [(_, _, _, rule)] = measured_in(transaction(ms=ms))
    assert bool(rule) == breached


@pytest.mark.parametrize(
    ("op", "name", "data", "expected"),
    [
        ("screen.render", "Screen: A", {"screen_name": "B"}, "B"),
        ("screen.render", "Screen: A", {"screen_name": " "}, "A"),
        ("screen.render", "Screen: A", {"screen_name": 5}, "A"),
        ("screen.render", "Screen: ", {}, "Screen:"),
        ("screen.render", "", {}, "screen.render"),
        ("screen.render", "x" * 500, {}, "x" * 200),
        ("ui.load.initial_display", "root / initial display", {}, "root /"),
        ("http.request", "API: login", {}, "login"),
        ("http.client", "GET https://api.example/a/4111111111111111?x=1", {}, "GET api.example"),
        ("http.client", "get https://u:p@api.example:8443/a", {}, "GET api.example"),
        ("http.client", "x", {"http.request.method": "post", "url": "https://b.example/y"}, "POST b.example"),
        ("http.client", "GET https://[::1/a", {}, "GET https://[::1/a"),
        ("http.client", "FETCH https://a/b", {}, "FETCH https://a/b"),
        ("financial.calculation", "Financial: tax", {"mita.operation": "vat"}, "vat"),
    ],
)
def test_the_name_of_an_operation_comes_from_the_span(
    op: str, name: str, data: dict[str, Any], expected: str
) -> None:
    event = transaction(op, name)
    event["contexts"]["trace"]["data"] = data
    assert measured_in(event)[0][1] == expected


def test_a_span_may_set_its_kind_to_a_mobile_kind_only() -> None:
    event = transaction("custom", "Load")
    event["contexts"]["trace"]["data"] = {"mita.operation.kind": "mobile_operation"}
    assert measured_in(event)[0][0] == "mobile_operation"
    event["contexts"]["trace"]["data"] = {"mita.operation.kind": "financial"}
    assert measured_in(event) == []


def test_a_request_inside_a_measured_request_counts_once() -> None:
    event = transaction("http.request", "API: login", spans=[child("http.client", "GET https://a/b", 50)])
    assert [one[1] for one in measured_in(event)] == ["login"]


def test_the_number_of_names_is_bounded_and_configured_names_remain() -> None:
    measuring = Measurer(policy_with(max_names=5, screens={"Known": 10}))
    names = [
        measuring.measure(spans_of_transaction(transaction(name=f"Screen: S{n}")))[0][1].name
        for n in range(20)
    ]
    assert names == ["S0", "S1", "S2", "S3", "S4", *["(other)"] * 15]
    [(_, known)] = measuring.measure(spans_of_transaction(transaction(name="Screen: Known")))
    assert (known.name, known.verdict.breaches[0].rule) == ("Known", "mobile.screens.Known")


def test_unused_names_are_forgotten_after_an_hour() -> None:
    now = [0.0]
    measuring = Measurer(policy_with(max_names=1), lambda: now[0])

    def name_of(name: str) -> str:
        return measuring.measure(spans_of_transaction(transaction(name=f"Screen: {name}")))[0][1].name

    assert name_of("A") == "A"
    assert name_of("B") == "(other)"
    now[0] = 3601.0
    assert name_of("B") == "B"


def test_a_span_of_more_than_an_hour_is_not_measured() -> None:
    assert measured_in(transaction(ms=3_600_001)) == []


def test_a_negative_duration_counts_as_zero() -> None:
    assert measured_in(transaction(ms=-500))[0][2] == 0


def test_a_disabled_limit_is_never_exceeded() -> None:
    assert measured_in(transaction(ms=60_000), policy_with(screen_ms="off"))[0][3] == ""


def test_streamed_spans_are_measured_like_a_transaction() -> None:
    value = item("streamed_spans")
    spans = list(spans_of_item(value))
    assert [(span.op, span.is_root, span.failed) for span in spans] == [
        ("screen.render", True, False),
        ("http.client", False, False),
    ]
    found = Measurer(default_policy()).measure(spans)
    assert [shown(one) for _, one in found] == [
        ("mobile_screen", "BudgetScreen", 1400, "mobile.screen"),
        ("mobile_request", "GET api.mita.example", 1200, ""),
    ]
