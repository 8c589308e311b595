"""A tree of spans becomes a transaction: complete, valid for Relay, and part by part."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event
from opentelemetry.trace import Link, SpanContext, StatusCode, TraceFlags

from e2e.relay import judge
from exploring import examples
from mita_otel import semconv
from mita_otel._json import json_bytes
from mita_otel.policy import default_policy
from mita_otel.sentry.mapping.span_tree import Tree
from mita_otel.sentry.mapping.tags import tag_name, tag_value
from mita_otel.sentry.mapping.transaction import transaction_event
from mita_otel.sentry.transport.sender_identity import Identity
from sentry import spans as factory
from sentry.spans import BREACH, make, query, server

TAGS = default_policy().sentry.tags
IDENTITY = Identity(
    "staging", "payments@1.2.3", None, "host-1", {"name": "sentry.python.mita_otel", "version": "1.0"}
)


def event(tree: Tree, **more: Any) -> dict[str, Any]:
    return transaction_event(tree, IDENTITY, TAGS, **more)


def test_a_request_with_a_query_becomes_a_complete_transaction() -> None:
    made = event(Tree(server(at_ms=(0, 12.345678)), [query(2, 1, at_ms=(1, 3.5))]))
    assert len(made.pop("event_id")) == 32
    contexts = made.pop("contexts")
    assert made == {
        "type": "transaction",
        "platform": "python",
        "transaction": "GET /api/accounts/{id}",
        "transaction_info": {"source": "route"},
        "start_timestamp": 1_700_000_000.0,
        "timestamp": 1_700_000_000.012346,
        "environment": "staging",
        "release": "payments@1.2.3",
        "server_name": "host-1",
        "sdk": {"name": "sentry.python.mita_otel", "version": "1.0"},
        "request": {"method": "GET", "url": "https://bank.example/api/accounts/7"},
        "tags": {"component": "payments"},
        "measurements": {
            "db.queries": {"value": 1, "unit": "none"},
            "db.time": {"value": 2.5, "unit": "millisecond"},
        },
        "spans": [
            {
                "trace_id": "0" * 31 + "1",
                "span_id": "0" * 15 + "2",
                "parent_span_id": "0" * 15 + "1",
                "op": "db",
                "description": "SELECT 1 FROM accounts",
                "status": "ok",
                "origin": "auto.otel.sqlalchemy",
                "start_timestamp": 1_700_000_000.001,
                "timestamp": 1_700_000_000.0035,
                "data": {
                    "db.system.name": "postgresql",
                    "db.system": "postgresql",
                    "db.operation.name": "SELECT",
                    "db.operation": "SELECT",
                    "otel.kind": "CLIENT",
                },
            }
        ],
    }
    assert contexts["trace"]["op"] == "http.server"
    assert contexts["trace"]["status"] == "ok"
    assert contexts["response"] == {"type": "response", "status_code": 200}
    assert contexts["app"] == {"type": "app", "app_name": "payments", "app_version": "1.2.3"}
    assert contexts["otel"] == {
        "type": "otel",
        "resource": {"service.name": "payments", "service.version": "1.2.3"},
        "scope": {"name": "opentelemetry.instrumentation.fastapi", "version": "1.0"},
    }
    assert {"runtime", "os", "device"} <= set(contexts)


def test_repeated_statements_are_a_performance_issue_with_a_separate_rule() -> None:
    repeated = {
        "mita.repeated_queries.count": 20,
        "mita.repeated_queries.max": 10,
        "mita.repeated_queries.statement": "SELECT a FROM t WHERE id = ?",
        "mita.repeated_queries.duration_ms": 41.5,
    }
    made = event(Tree(server(attributes=repeated), []))
    assert made["tags"]["performance_issue"] == "true"
    assert made["tags"]["latency_rule"] == "repeated_queries.max_repeats"
    assert "latency_limit_ms" not in made["tags"]
    [breach] = made["contexts"]["latency"]["breaches"]
    assert (breach["count"], breach["limit"], breach["statement"]) == (20, 10, "SELECT a FROM t WHERE id = ?")


def test_the_worst_breach_of_any_span_marks_the_transaction() -> None:
    worse = {**BREACH, semconv.LATENCY_RULE: "database.SELECT", semconv.LATENCY_OVERRUN_MS: 99.0,
             semconv.LATENCY_LIMIT_MS: 200}  # fmt: skip
    made = event(Tree(server(attributes=BREACH), [query(2, 1, attributes=worse), query(3, 1)]))
    assert made["tags"] == {
        "component": "payments",
        "performance_issue": "true",
        "latency_rule": "database.SELECT",
        "latency_limit_ms": "200",
    }
    assert [one["rule"] for one in made["contexts"]["latency"]["breaches"]] == [
        "api.methods.GET",
        "database.SELECT",
    ]
    assert made["measurements"]["latency.limit"] == {"value": 500, "unit": "millisecond"}
    assert made["measurements"]["latency.overrun"] == {"value": 20.5, "unit": "millisecond"}
    assert [span.get("tags") for span in made["spans"]] == [{"performance_issue": "true"}, None]


def test_the_guides_tags_and_contexts_come_from_any_span() -> None:
    operation = make(
        2,
        1,
        attributes={
            semconv.OPERATION: "payment_processing",
            semconv.SEVERITY: "critical",
            semconv.TRANSACTION_ID: "tx-1",
            semconv.AMOUNT: "12.50",
            semconv.CURRENCY: "EUR",
            semconv.USER_ID: 7,
            semconv.USER_TIER: "gold",
            semconv.COMPLIANCE_REGULATION: "PCI_DSS",
            semconv.COMPLIANCE_STATUS: "compliant",
            semconv.SECURITY_EVENT_TYPE: "failed_login",
            "mita.tag.channel": "mobile",
        },
        status=StatusCode.ERROR,
    )
    made = event(Tree(server(), [operation]))
    assert made["tags"] == {
        "component": "payments",
        "financial_service": "true",
        "financial_operation": "payment_processing",
        "severity": "critical",
        "transaction_id": "tx-1",
        "compliance_status": "compliant",
        "security_event": "failed_login",
        "failed": "true",
        "channel": "mobile",
    }
    assert made["user"] == {"id": "7", "subscription_tier": "gold"}
    financial = made["contexts"]["financial"]
    assert (financial["amount"], financial["currency"]) == ("12.50", "EUR")
    assert made["contexts"]["compliance"]["regulation"] == "PCI_DSS"
    assert made["contexts"]["security"] == {"type": "security", "event_type": "failed_login"}


def test_attributes_of_the_root_take_precedence_over_those_of_children() -> None:
    child = make(2, 1, attributes={semconv.TRANSACTION_ID: "child"})
    made = event(Tree(server(attributes={semconv.TRANSACTION_ID: "root"}), [child]))
    assert made["tags"]["transaction_id"] == "root"


def test_only_tags_of_the_policy_and_of_the_application_are_set() -> None:
    tree = Tree(server(attributes={semconv.OPERATION: "x", "mita.tag.mine": "yes"}))
    assert transaction_event(tree, IDENTITY, ("severity",))["tags"] == {"mine": "yes"}


def test_left_out_and_late_spans_are_recorded_in_the_event() -> None:
    made = event(Tree(server(), left_out=3, orphan=True))
    assert made["contexts"]["mita"] == {"type": "mita", "spans_left_out": 3, "late": True}
    assert made["tags"]["late_span"] == "true"
    assert "mita" not in event(Tree(server()))["contexts"]


def test_the_applied_sampling_rate_is_on_the_transaction() -> None:
    made = event(Tree(server(attributes={semconv.SAMPLING_RATE: 0.1})))
    assert made["contexts"]["trace"]["client_sample_rate"] == 0.1
    assert "client_sample_rate" not in event(Tree(server()))["contexts"]["trace"]


def test_events_links_and_status_texts_are_kept() -> None:
    other = SpanContext(0xABC, 0xDEF, True, TraceFlags(1))
    child = make(
        2,
        1,
        events=[Event("retry", {"attempt": 2}, timestamp=factory.START_NS)],
        links=[Link(other, {"why": "batch"})],
        status=StatusCode.ERROR,
        description="timed out",
    )
    [shown] = event(Tree(server(), [child]))["spans"]
    assert shown["data"]["otel.events"] == [
        {"name": "retry", "timestamp": 1_700_000_000.0, "attributes": {"attempt": 2}}
    ]
    assert shown["data"]["otel.status_description"] == "timed out"
    assert shown["links"] == [
        {
            "trace_id": f"{0xABC:032x}",
            "span_id": f"{0xDEF:016x}",
            "sampled": True,
            "attributes": {"why": "batch"},
        }
    ]


def test_given_breadcrumbs_are_attached() -> None:
    crumbs = [{"message": "checked the balance", "timestamp": "2026-01-01T00:00:00Z"}]
    assert event(Tree(server()), breadcrumbs=crumbs)["breadcrumbs"] == {"values": crumbs}
    assert "breadcrumbs" not in event(Tree(server()))


REQUESTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "stable": (
        {
            "http.request.method": "GET", "url.scheme": "https", "server.address": "bank.example",
            "server.port": 8443, "url.path": "/a", "url.query": "b=1",
            "http.request.header.x_client": ["app"],
        },
        {
            "method": "GET", "url": "https://bank.example:8443/a", "query_string": "b=1",
            "headers": {"x-client": "app"},
        },
    ),
    "old": (
        {"http.method": "GET", "http.url": "http://bank.example/a?b=1", "http.target": "/a?b=1"},
        {"method": "GET", "url": "http://bank.example/a", "query_string": "b=1"},
    ),
    "none": ({"db.system": "x"}, {}),
}  # fmt: skip


@pytest.mark.parametrize(("attributes", "expected"), REQUESTS.values(), ids=REQUESTS.keys())
def test_the_request_is_read_from_old_and_new_attribute_names(
    attributes: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert event(Tree(make(1, attributes=attributes))).get("request", {}) == expected


def now(made: dict[str, Any]) -> dict[str, Any]:
    """Relay refuses events older than a month."""
    shift = int(time.time() - made["timestamp"]) - 1
    for part in [made, *made["spans"]]:
        part["start_timestamp"] = round(part["start_timestamp"] + shift, 6)
        part["timestamp"] = round(part["timestamp"] + shift, 6)
    return made


def test_the_event_is_valid_for_relay() -> None:
    child = query(2, 1, attributes=BREACH, events=[Event("e", {"a": [1, 2]}, timestamp=factory.START_NS)])
    crumbs = [{"message": "m", "timestamp": time.time(), "type": "log", "category": "c", "level": "info"}]
    operation = make(
        3, 1, attributes={semconv.OPERATION: "p", semconv.USER_ID: "u", "mita.tag.a b": "x\ny" * 200}
    )
    stored = judge(
        now(event(Tree(server(attributes=BREACH), [child, operation], 2, True), breadcrumbs=crumbs))
    )
    assert stored["user"]["id"] == "u"
    assert stored["contexts"]["trace"]["data"]["http.route"] == "/api/accounts/{id}"


values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=40),
    st.lists(st.text(max_size=8), max_size=3),
    st.dictionaries(st.text(max_size=5), st.integers(0, 9), max_size=2),
)
names = st.one_of(
    st.sampled_from(
        ["http.request.method", "http.route", "db.system.name", "db.query.text", "mita.operation", "user.id",
         "mita.latency.exceeded", "mita.latency.overrun_ms", "mita.sampling.rate", "mita.redacted", "sentry.op",
         "http.response.status_code", "messaging.system", "cache.key", "mita.tag.x", "mita.tags"]
    ),
    st.text(min_size=1, max_size=12),
)  # fmt: skip


@settings(max_examples=examples(150))
@given(
    st.dictionaries(names, values, max_size=8),
    st.dictionaries(names, values, max_size=8),
    st.text(max_size=30),
)
def test_any_attributes_can_be_encoded_and_tags_are_strings(
    root: dict[str, Any], child: dict[str, Any], name: str
) -> None:
    resource = Resource({"service.name": "x"})
    tree = Tree(
        make(1, name=name, attributes=root, resource=resource), [make(2, 1, name=name, attributes=child)]
    )
    made = event(tree)
    json_bytes(made)
    assert all(isinstance(tag, str) and isinstance(value, str) for tag, value in made["tags"].items())


@pytest.mark.parametrize("text", ["a\nb", "x" * 500, "", "  a  ", 5, None, ["a"]])
def test_a_tag_value_is_one_line_within_sentrys_length(text: Any) -> None:
    value = tag_value(text)
    assert "\n" not in value
    assert len(value) <= 200


def test_a_tag_name_is_valid_for_sentry() -> None:
    assert tag_name("a b/ü-c:d.e_f") == "a_b__-c:d.e_f"
    assert len(tag_name("x" * 99)) == 32
