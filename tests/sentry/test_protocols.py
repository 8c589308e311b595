"""Spans as streamed spans of Sentry and over its OTLP endpoint."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, cast

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import Link, SpanContext, StatusCode, TraceFlags

from e2e.receiver import Receiver
from mita_otel import semconv
from mita_otel.policy import default_policy
from mita_otel.sentry.client import SentryLink
from mita_otel.sentry.mapping.attribute_values import typed, typed_attributes
from mita_otel.sentry.mapping.otlp import otlp_encoder, otlp_request, otlp_spans
from mita_otel.sentry.mapping.span_tree import Tree
from mita_otel.sentry.mapping.streamed_spans import MAX_SPANS, SpanSegment, span_items
from mita_otel.sentry.protocols import make_protocol
from mita_otel.sentry.transport.envelope_items import SpansItem
from mita_otel.sentry.transport.sender_identity import Identity

from .spans import BREACH, START_NS, make, query, server
from .wire import WireLink

TAGS = default_policy().sentry.tags
IDENTITY = Identity(
    "staging", "bank@1.0", None, "host-1", {"name": "sentry.python.mita_otel", "version": "1"}
)


def segment(tree: Tree) -> SpanSegment:
    return SpanSegment(tree, IDENTITY, TAGS)


def items(tree: Tree) -> list[SpansItem]:
    return list(span_items(segment(tree)))


def spans(tree: Tree) -> list[dict[str, Any]]:
    return [span for item in items(tree) for span in json.loads(item.get_bytes())["items"]]


def values(span: dict[str, Any]) -> dict[str, Any]:
    return {name: one["value"] for name, one in span["attributes"].items()}


def test_a_request_with_a_query_becomes_complete_streamed_spans() -> None:
    root, child = spans(Tree(server(at_ms=(0, 12.345678)), [query(2, 1)]))
    assert {name: value for name, value in root.items() if name != "attributes"} == {
        "trace_id": "0" * 31 + "1",
        "span_id": "0" * 15 + "1",
        "name": "GET /api/accounts/{id}",
        "status": "ok",
        "is_segment": True,
        "start_timestamp": 1_700_000_000.0,
        "end_timestamp": 1_700_000_000.012346,
    }
    assert root["attributes"]["http.response.status_code"] == {"value": 200, "type": "integer"}
    said = values(root)
    assert (said["sentry.op"], said["sentry.kind"], said["sentry.source"]) == (
        "http.server",
        "server",
        "route",
    )
    assert (said["sentry.environment"], said["sentry.release"]) == ("staging", "bank@1.0")
    assert (said["component"], said["service.name"]) == ("payments", "payments")
    assert (said["db.queries"], said["db.time"]) == (1, 1.0)
    assert (child["parent_span_id"], child["is_segment"]) == ("0" * 15 + "1", False)
    said = values(child)
    assert said["db.query.text"] == "SELECT 1 FROM accounts"
    assert (said["sentry.segment.id"], said["sentry.segment.name"]) == (
        "0" * 15 + "1",
        "GET /api/accounts/{id}",
    )


def test_tags_contexts_rate_and_breach_are_attributes_of_the_root() -> None:
    operation = {semconv.OPERATION: "payment_processing", semconv.AMOUNT: "12.50", "mita.tag.channel": "app"}
    attributes = {**BREACH, semconv.SAMPLING_RATE: 0.1}
    root, _ = spans(Tree(server(attributes=attributes), [make(2, 1, attributes=operation)]))
    said = values(root)
    assert said["performance_issue"] == "true"
    assert said["financial_service"] == "true"
    assert said["channel"] == "app"
    assert said["financial.amount"] == "12.50"
    assert said["latency.limit"] == 500
    assert said["sentry.client_sample_rate"] == 0.1


def test_events_and_links_are_kept() -> None:
    other = SpanContext(0xABC, 0xDEF, True, TraceFlags(0))
    span = server(events=[Event("e", {"a": 1}, timestamp=START_NS)], links=[Link(other, {"why": "batch"})])
    [root] = spans(Tree(span))
    assert json.loads(values(root)["otel.events"]) == [
        {"name": "e", "timestamp": START_NS, "attributes": {"a": 1}}
    ]
    assert root["links"] == [
        {
            "trace_id": f"{0xABC:032x}",
            "span_id": f"{0xDEF:016x}",
            "sampled": False,
            "attributes": {"why": {"value": "batch", "type": "string"}},
        }
    ]


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (StatusCode.UNSET, 200, "ok"),
        (StatusCode.ERROR, 200, "error"),
        (StatusCode.UNSET, 404, "error"),
        (StatusCode.OK, 500, "ok"),
    ],
)
def test_a_span_is_ok_or_an_error(status: StatusCode, code: int, expected: str) -> None:
    [root] = spans(Tree(server(status=status, attributes={"http.response.status_code": code})))
    assert root["status"] == expected


def test_all_spans_of_a_large_trace_are_sent_in_items_of_a_thousand() -> None:
    children = [make(n, 1) for n in range(2, 2402)] + [make(9999, 1, attributes=BREACH)]
    parts = items(Tree(server(), children))
    assert [part.spans for part in parts] == [MAX_SPANS, MAX_SPANS, 402]
    assert [part.headers["item_count"] for part in parts] == [MAX_SPANS, MAX_SPANS, 402]
    assert [part.important for part in parts] == [True, False, False]
    ids = [span["span_id"] for part in parts for span in json.loads(part.get_bytes())["items"]]
    assert len(set(ids)) == 2402
    assert ids[:2] == [f"{1:016x}", f"{9999:016x}"]
    assert parts[0].headers["content_type"] == "application/vnd.sentry.items.span.v2+json"


TYPED = [
    (True, "boolean", True), (5, "integer", 5), (0.5, "double", 0.5), ("a", "string", "a"),
    (2**63, "string", str(2**63)), (["a", "b"], "array", ["a", "b"]), ((1, 2), "array", [1, 2]), ([], "array", []),
    ([1, "a"], "string", '[1,"a"]'), ({"a": 1}, "string", '{"a":1}'), ([[1]], "string", "[[1]]"),
    (b"x", "string", "b'x'"), (float("inf"), "string", "inf"), (float("nan"), "string", "nan"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "kind", "expected"), TYPED)
def test_values_have_types(value: Any, kind: str, expected: Any) -> None:
    assert typed(value) == {"value": expected, "type": kind}
    assert typed_attributes({"a": value, "b": None}) == {"a": {"value": expected, "type": kind}}


def test_over_otlp_many_traces_are_one_request() -> None:
    trees = [
        Tree(
            server(trace_id=n, attributes=BREACH),
            [query(2, 1, trace_id=n, attributes={"odd": {"a": [1, "x"]}})],
        )
        for n in range(1, 21)
    ]
    body = otlp_request(otlp_encoder(), [span for tree in trees for span in otlp_spans(segment(tree))])
    message = ExportTraceServiceRequest.FromString(body)
    sent = [span for one in message.resource_spans for scope in one.scope_spans for span in scope.spans]
    assert len(sent) == 40
    assert {span.name for span in sent} == {"GET /api/accounts/{id}", "SELECT 1 FROM accounts"}
    root = next(span for span in sent if span.span_id == b"\x00" * 7 + b"\x01")
    said = {one.key: one.value for one in root.attributes}
    assert said["sentry.op"].string_value == "http.server"
    assert said["performance_issue"].string_value == "true"
    assert said["component"].string_value == "payments"


def test_over_otlp_protocol_fields_are_not_repeated_as_attributes() -> None:
    event = Event("retry", {"n": 1}, timestamp=START_NS)
    tree = Tree(server(), [query(2, 1), query(3, 1, status=StatusCode.ERROR, events=[event])])
    body = otlp_request(otlp_encoder(), otlp_spans(segment(tree)))
    (resource,) = ExportTraceServiceRequest.FromString(body).resource_spans
    assert "service.name" in {one.key for one in resource.resource.attributes}
    root, child, failed = (
        {one.key: one.value.string_value for one in span.attributes}
        for span in sorted(
            (s for scope in resource.scope_spans for s in scope.spans), key=lambda s: s.span_id
        )
    )
    assert "service.name" not in root
    assert (root["sentry.sdk.name"], root["sentry.platform"]) == ("sentry.python.mita_otel", "python")
    assert {name for name in child if name.startswith("sentry.")} == {
        *("sentry.op", "sentry.origin", "sentry.environment", "sentry.release"),
        *("sentry.segment.id", "sentry.segment.name"),
    }
    assert (failed["sentry.status"], "retry" in failed["otel.events"]) == ("internal_error", True)
    assert not any(span.events for scope in resource.scope_spans for span in scope.spans)


@pytest.mark.parametrize(
    ("attributes", "server_name", "shown"),
    [
        ({"server.address": "api.bank.test"}, "host-1", "api.bank.test"),
        ({"server.address": "api.bank.test"}, None, "api.bank.test"),
        ({}, "host-1", "host-1"),
        ({}, None, None),
    ],
)
def test_server_address_is_not_overwritten_by_the_host_name(
    attributes: dict[str, Any], server_name: str | None, shown: str | None
) -> None:
    tree = Tree(make(1, attributes=attributes))
    made = SpanSegment(tree, replace(IDENTITY, server_name=server_name), TAGS)
    assert made.attributes(tree.root, made.described[0]).get("server.address") == shown


class Odd:
    """A span that cannot be encoded."""

    context = None

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)


@pytest.mark.parametrize("protocol", ["transactions", "spans", "otlp"])
def test_an_unencodable_tree_is_counted_and_the_others_are_sent(protocol: str) -> None:
    receiver = Receiver()
    link = WireLink(receiver)
    policy = link.policy.replace(protocol=protocol)
    odd = Tree(server(1, trace_id=2), [cast("ReadableSpan", Odd())])
    sender = make_protocol(policy, cast("SentryLink", link), link.losses)
    sender.send([Tree(server(1, trace_id=1)), odd, Tree(server(1, trace_id=3))])
    link.transport.flush(10)
    receiver.close()
    arrived = {
        "transactions": lambda: receiver.transactions,
        "spans": lambda: receiver.streamed_spans,
        "otlp": lambda: receiver.otlp_spans,
    }[protocol]()
    assert len(arrived) == 2
    assert link.losses.counts() == {("sentry", "not_encodable"): 2}
