"""Screens, requests and operations of an app are held to their limits, whichever way their spans came."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mita_otel.mobile.app_spans import AppSpan, seconds_of, spans_of_item, spans_of_transaction
from mita_otel.mobile.envelope import EnvelopeBounds, parse_envelope
from mita_otel.mobile.marks import mark_streamed, mark_transaction
from mita_otel.mobile.measuring import Measured, Measuring
from mita_otel.policy import Policy, default_policy
from mobile.kit import recorded, transaction


def policy_with(max_names: int = 100, **limits: Any) -> Policy:
    policy = default_policy()
    mobile = policy.thresholds.mobile.model_copy(update=limits)
    measure = policy.mobile.measure.model_copy(update={"max_names": max_names})
    return policy.model_copy(
        update={
            "thresholds": policy.thresholds.model_copy(update={"mobile": mobile}),
            "mobile": policy.mobile.model_copy(update={"measure": measure}),
        }
    )


def item(name: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(
        bytes(parse_envelope(recorded(name), EnvelopeBounds(16_384, 100)).items[0].payload)
    )
    return value


def measured_in(event: dict[str, Any], policy: Policy | None = None) -> list[tuple[str, str, int, str]]:
    found = Measuring(policy or default_policy()).measure(spans_of_transaction(event))
    return [shown(one) for _, one in found]


def shown(one: Measured) -> tuple[str, str, int, str]:
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
def test_the_guides_calls_and_what_the_sdk_measures_by_itself(name: str, expected: list[Any]) -> None:
    assert measured_in(item(name)) == expected


def test_a_name_of_the_policy_has_its_own_limit() -> None:
    policy = policy_with(screens={"TransactionScreen": 1400}, requests={"GET api.mita.example": 1000})
    assert measured_in(item("screen_render"), policy) == [
        ("mobile_screen", "TransactionScreen", 1350, ""),
        ("mobile_request", "GET api.mita.example", 1100, "mobile.requests.GET api.mita.example"),
    ]


@pytest.mark.parametrize(("ms", "breached"), [(999, False), (1000, False), (1000.5, True)])
def test_exactly_at_the_limit_is_no_breach(ms: float, breached: bool) -> None:
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
def test_what_a_span_is_called(op: str, name: str, data: dict[str, Any], expected: str) -> None:
    event = transaction(op, name)
    event["contexts"]["trace"]["data"] = data
    assert measured_in(event)[0][1] == expected


def test_a_span_may_say_itself_what_it_is_but_only_one_of_a_mobile_apps_kinds() -> None:
    event = transaction("custom", "Load")
    event["contexts"]["trace"]["data"] = {"mita.operation.kind": "mobile_operation"}
    assert measured_in(event)[0][0] == "mobile_operation"
    event["contexts"]["trace"]["data"] = {"mita.operation.kind": "financial"}
    assert measured_in(event) == []


def test_a_request_inside_a_measured_request_counts_once() -> None:
    event = transaction("http.request", "API: login", spans=[child("http.client", "GET https://a/b", 50)])
    assert [one[1] for one in measured_in(event)] == ["login"]


def test_names_that_somebody_made_up_do_not_grow_without_bound_and_known_ones_stay() -> None:
    measuring = Measuring(policy_with(max_names=5, screens={"Known": 10}))
    names = [
        measuring.measure(spans_of_transaction(transaction(name=f"Screen: S{n}")))[0][1].name
        for n in range(20)
    ]
    assert names == ["S0", "S1", "S2", "S3", "S4", *["(other)"] * 15]
    [(_, known)] = measuring.measure(spans_of_transaction(transaction(name="Screen: Known")))
    assert (known.name, known.verdict.breaches[0].rule) == ("Known", "mobile.screens.Known")


def test_names_are_forgotten_when_nobody_uses_them_any_more() -> None:
    now = [0.0]
    measuring = Measuring(policy_with(max_names=1), lambda: now[0])

    def name_of(name: str) -> str:
        return measuring.measure(spans_of_transaction(transaction(name=f"Screen: {name}")))[0][1].name

    assert name_of("A") == "A"
    assert name_of("B") == "(other)"
    now[0] = 3601.0
    assert name_of("B") == "B"


def test_a_span_of_hours_is_not_counted() -> None:
    assert measured_in(transaction(ms=3_600_001)) == []


def test_a_clock_that_was_put_back_makes_no_time_negative() -> None:
    assert measured_in(transaction(ms=-500))[0][2] == 0


# --- what spans there are ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (1_700_000_000, 1_700_000_000),
        (1_700_000_000.25, 1_700_000_000.25),
        ("2023-11-14T22:13:20.250Z", 1_700_000_000.25),
        ("2023-11-14T22:13:20", 1_700_000_000),
        ("2023-11-14T23:13:20+01:00", 1_700_000_000),
        ("9999-12-31T23:59:59Z", 253402300799),
        (True, None),
        (-1, None),
        (1e300, None),
        (float("nan"), None),
        ("soon", None),
        ("", None),
        (None, None),
        ([], None),
    ],
)
def test_timestamps(value: Any, seconds: float | None) -> None:
    assert seconds_of(value) == seconds


@pytest.mark.parametrize(
    "change",
    [
        {"contexts": None},
        {"contexts": []},
        {"contexts": {"trace": "x"}},
        {"contexts": {"trace": {"trace_id": "0" * 32, "span_id": "d" * 16}}},
        {"contexts": {"trace": {"trace_id": "x" * 32, "span_id": "d" * 16}}},
        {"contexts": {"trace": {"trace_id": "c" * 31, "span_id": "d" * 16}}},
        {"contexts": {"trace": {"trace_id": 5, "span_id": None}}},
        {"start_timestamp": None},
        {"timestamp": "never"},
    ],
)
def test_a_root_without_ids_or_times_is_left_out(change: dict[str, Any]) -> None:
    assert spans_of_transaction({**transaction(), **change}) == []


@pytest.mark.parametrize("spans", [None, 5, "x", [None, 5, "x", [], {}], [{"span_id": "e" * 16}]])
def test_children_of_another_shape_are_left_out(spans: Any) -> None:
    assert len(spans_of_transaction(transaction(spans=spans))) == 1


@pytest.mark.parametrize(
    "value", [{}, {"items": []}, {"items": [None, 5, {}, {"attributes": []}]}, {"items": "x"}, {"span_id": 5}]
)
def test_streamed_spans_of_another_shape_are_left_out(value: dict[str, Any]) -> None:
    assert list(spans_of_item(value)) == []


def test_streamed_spans_say_the_same_as_a_transaction() -> None:
    value = item("streamed_spans")
    spans = list(spans_of_item(value))
    assert [(span.op, span.is_root, span.failed) for span in spans] == [
        ("screen.render", True, False),
        ("http.client", False, False),
    ]
    found = Measuring(default_policy()).measure(spans)
    assert [shown(one) for _, one in found] == [
        ("mobile_screen", "BudgetScreen", 1400, "mobile.screen"),
        ("mobile_request", "GET api.mita.example", 1200, ""),
    ]


# --- marks -----------------------------------------------------------------------------------------------
def marked(event: dict[str, Any], policy: Policy | None = None) -> dict[str, Any]:
    found = Measuring(policy or default_policy()).measure(spans_of_transaction(event))
    mark_transaction(event, found)
    return event


def test_a_breach_marks_the_transaction_as_the_backends_are_marked() -> None:
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


def test_the_worst_of_several_breaches_is_the_transactions() -> None:
    event = marked(item("screen_render"), policy_with(screen_ms=1300, request_ms=100))
    assert event["tags"]["latency_rule"] == "mobile.request"
    assert [one["rule"] for one in event["contexts"]["latency"]["breaches"]] == [
        "mobile.screen",
        "mobile.request",
    ]


def test_what_kept_its_limit_is_left_as_it_is() -> None:
    event = item("api_request")
    assert marked(json.loads(json.dumps(event))) == event


def test_marks_find_a_place_whatever_stands_there() -> None:
    event = transaction(ms=5000, tags=[["a", "b"], "x", ["c"]], measurements=[], extra=None)
    event["contexts"]["trace"]["data"] = "x"
    event["contexts"]["latency"] = 5
    shown = marked(event)
    assert shown["tags"]["a"] == "b"
    assert shown["tags"]["performance_issue"] == "true"
    assert shown["contexts"]["trace"]["data"]["mita.latency.exceeded"] is True


def test_a_streamed_span_carries_its_marks_as_typed_attributes() -> None:
    value = item("streamed_spans")
    mark_streamed(Measuring(default_policy()).measure(list(spans_of_item(value))))
    segment, request = value["items"]
    assert segment["attributes"]["mita.latency.exceeded"] == {"value": True, "type": "boolean"}
    assert segment["attributes"]["mita.latency.limit_ms"] == {"value": 1000.0, "type": "double"}
    assert segment["attributes"]["performance_issue"] == {"value": "true", "type": "string"}
    assert "mita.latency.exceeded" not in request["attributes"]


def test_a_limit_that_is_off_is_never_broken() -> None:
    assert measured_in(transaction(ms=60_000), policy_with(screen_ms="off"))[0][3] == ""


def test_spans_are_told_apart_by_what_they_are() -> None:
    [span] = spans_of_transaction(transaction())
    assert isinstance(span, AppSpan)
    assert (span.trace_id, span.span_id, span.parent_span_id, span.is_root) == ("c" * 32, "d" * 16, "", True)
