"""OTLP/HTTP in protobuf and JSON is redacted, measured, and forwarded to Sentry as protobuf."""

from __future__ import annotations

import base64
import gzip
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from e2e.receiver import Receiver
from mita_otel.mobile import MobileApp, MobileGateway
from mita_otel.mobile.envelope import EnvelopeError
from mita_otel.mobile.measurement import Measurer
from mita_otel.mobile.otlp import prepare_request, read_request, read_spans
from mita_otel.policy import default_policy
from mita_otel.redaction import Redactor
from mobile.kit import AUTH, KEY, PROJECT, policy_with

PATH = f"/api/{PROJECT}/integration/otlp/v1/traces"
TRACE, SPAN, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "00f067aa0ba902b7"
CARD = "4111 1111 1111 1111"


def text(key: str, value: str) -> dict[str, Any]:
    return {"key": key, "value": {"stringValue": value}}


def said(**span: Any) -> dict[str, Any]:
    """Return an export request in OTLP's JSON, with a secret in each part."""
    one = {
        "traceId": TRACE,
        "spanId": SPAN,
        "name": f"Screen: PaymentScreen {CARD}",
        "kind": 1,
        "startTimeUnixNano": "1763974802000000000",
        "endTimeUnixNano": "1763974803400000000",
        "traceState": f"card={CARD}",
        "attributes": [
            text("screen_name", "PaymentScreen"),
            text("card_number", "4111111111111111"),
            text("note", f"paid with {CARD}"),
            {"key": "card_pin", "value": {"intValue": "4711"}},
            {"key": "nested", "value": {"kvlistValue": {"values": [text("iban", "GB82WEST12345698765432")]}}},
            {
                "key": "list",
                "value": {"arrayValue": {"values": [{"stringValue": CARD}, {"boolValue": True}]}},
            },
            {"key": "count", "value": {"intValue": "3"}},
            {"key": "share", "value": {"doubleValue": 0.5}},
            {"key": "raw", "value": {"bytesValue": base64.b64encode(CARD.encode()).decode()}},
        ],
        "events": [{"name": f"tap {CARD}", "timeUnixNano": "1", "attributes": [text("password", "hunter2")]}],
        "links": [{"traceId": TRACE, "spanId": PARENT, "attributes": [text("token", "hunter2")]}],
        "status": {"code": 2, "message": f"declined {CARD}"},
        **span,
    }
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": [text("service.name", "mita-mobile"), text("api_key", "hunter2")]},
                "scopeSpans": [{"scope": {"name": f"lib {CARD}"}, "spans": [one]}],
            }
        ]
    }


def protobuf(value: dict[str, Any] | None = None) -> bytes:
    return read_request(json.dumps(value or said()).encode(), "application/json").SerializeToString()


def prepared(
    value: dict[str, Any] | None = None,
) -> tuple[ExportTraceServiceRequest, list[Any], Counter[str]]:
    request = read_request(json.dumps(value or said()).encode(), "application/json")
    tally: Counter[str] = Counter()
    measured = prepare_request(request, Redactor(), Measurer(default_policy()), tally)
    return request, measured, tally


def span_of(request: ExportTraceServiceRequest) -> dict[str, Any]:
    shown: dict[str, Any] = MessageToDict(request)["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    return shown


def attributes_of(request: ExportTraceServiceRequest) -> dict[str, Any]:
    return {one["key"]: one["value"] for one in span_of(request)["attributes"]}


def test_json_and_protobuf_are_parsed_alike() -> None:
    assert read_request(protobuf(), "application/x-protobuf") == read_request(
        json.dumps(said()).encode(), "application/json"
    )


def test_no_secret_is_left_in_the_request() -> None:
    request, _, tally = prepared()
    raw = request.SerializeToString()
    for secret in (b"4111", b"hunter2", b"GB82WEST", b"4711"):
        assert secret not in raw, secret
    assert tally["pan"] >= 6


def test_other_values_keep_their_type_and_ids_and_times_are_kept() -> None:
    request, _, _ = prepared()
    shown = attributes_of(request)
    assert shown["count"] == {"intValue": "3"}
    assert shown["share"] == {"doubleValue": 0.5}
    assert shown["list"] == {
        "arrayValue": {"values": [{"stringValue": "[redacted:pan]"}, {"boolValue": True}]}
    }
    span = span_of(request)
    assert base64.b64decode(span["traceId"]).hex() == TRACE
    assert base64.b64decode(span["spanId"]).hex() == SPAN
    assert span["startTimeUnixNano"] == "1763974802000000000"


def test_a_span_without_a_secret_is_unchanged() -> None:
    plain = {
        "name": "hello",
        "traceState": "",
        "attributes": [text("a", "b")],
        "events": [],
        "links": [],
        "status": {},
    }
    value = said(**plain)
    value["resourceSpans"][0]["resource"]["attributes"].pop()
    value["resourceSpans"][0]["scopeSpans"][0]["scope"]["name"] = "lib"
    before = read_request(json.dumps(value).encode(), "application/json")
    after, _, tally = prepared(value)
    assert (after, tally) == (before, Counter())


def test_a_screen_is_measured_by_its_name_and_marked() -> None:
    request, [measured], _ = prepared()
    assert (measured.kind, measured.name, measured.failed) == ("mobile_screen", "PaymentScreen", True)
    shown = attributes_of(request)
    assert shown["mita.latency.exceeded"] == {"boolValue": True}
    assert shown["mita.latency.rule"] == {"stringValue": "mobile.screen"}
    assert shown["mita.latency.limit_ms"] == {"doubleValue": 1000.0}


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        ({"name": "API: login", "attributes": []}, ("mobile_request", "login")),
        (
            {"name": "x", "attributes": [text("sentry.op", "financial.calculation")]},
            ("mobile_operation", "x"),
        ),
        ({"name": "x", "attributes": [text("mita.operation.kind", "mobile_screen")]}, ("mobile_screen", "x")),
        (
            {
                "name": "GET",
                "kind": 3,
                "attributes": [
                    text("http.request.method", "GET"),
                    text("url.full", "https://api.example/a/1"),
                ],
            },
            ("mobile_request", "GET api.example"),
        ),
        ({"name": "something", "attributes": []}, None),
        ({"name": "Screen: A", "attributes": [], "traceId": "00" * 16}, None),
        ({"name": "Screen: A", "attributes": [], "spanId": ""}, None),
    ],
)
def test_the_kind_and_name_of_a_span_come_from_its_attributes(
    span: dict[str, Any], expected: tuple[str, str] | None
) -> None:
    _, measured, _ = prepared(said(**span))
    assert [(one.kind, one.name) for one in measured] == ([expected] if expected else [])


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"{", "application/json"),
        (b"[]", "application/json"),
        (b"5", "application/json"),
        (b'{"resourceSpans":5}', "application/json"),
        (b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"xyz"}]}]}]}', "application/json"),
        (
            b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"startTimeUnixNano":"soon"}]}]}]}',
            "application/json",
        ),
        (b"[" * 10_000, "application/json"),
        (b'{"a":' + b"[" * 500 + b"]" * 500 + b"}", "application/json"),
        (b"\xff\xff\xff", "application/x-protobuf"),
        (b"hello", "application/x-protobuf"),
    ],
)
def test_an_invalid_request_is_refused(body: bytes, content_type: str) -> None:
    with pytest.raises(EnvelopeError) as caught:
        read_request(body, content_type)
    assert caught.value.reason == "bad_otlp"


@given(st.binary(max_size=200), st.sampled_from(["application/json", "application/x-protobuf"]))
def test_arbitrary_bytes_raise_only_envelope_errors(body: bytes, content_type: str) -> None:
    try:
        request = read_request(body, content_type)
    except EnvelopeError:
        return
    prepare_request(request, Redactor(), Measurer(default_policy()), Counter())


def test_unknown_fields_are_ignored() -> None:
    value = {**said(), "somethingNew": 1}
    assert read_request(json.dumps(value).encode(), "application/json").resource_spans


def test_spans_for_the_store_become_opentelemetry_spans() -> None:
    request, _, _ = prepared()
    [span] = read_spans(request.SerializeToString(), "mita-app")
    assert span.context is not None
    assert span.context.trace_id == int(TRACE, 16)
    assert span.resource.attributes["service.name"] == "mita-app"
    assert span.attributes is not None
    assert span.attributes["screen_name"] == "PaymentScreen"


# --- over HTTP ------------------------------------------------------------------------------------------------
@pytest.fixture
def app(tmp_path: Path, receiver: Receiver) -> Iterator[MobileApp]:
    one = MobileApp(MobileGateway(policy_with(tmp_path / "spool", upstream=receiver.dsn), env={}))
    yield one
    one.gateway.close(1)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(
    ("content_type", "answer_type", "answer_body"),
    [
        ("application/x-protobuf", "application/x-protobuf", b""),
        ("application/json", "application/json", b"{}"),
    ],
)
async def test_a_request_arrives_at_sentrys_otlp_endpoint(
    app: MobileApp, receiver: Receiver, content_type: str, answer_type: str, answer_body: bytes, packed: bool
) -> None:
    body = protobuf() if "protobuf" in content_type else json.dumps(said()).encode()
    headers = {**AUTH, "content-type": content_type, **({"content-encoding": "gzip"} if packed else {})}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as client:
        answer = await client.post(PATH, content=gzip.compress(body) if packed else body, headers=headers)
    assert (answer.status_code, answer.headers["content-type"], answer.content) == (
        200,
        answer_type,
        answer_body,
    )
    receiver.wait_for(lambda server: server.otlp_spans)
    [span] = receiver.otlp_spans
    assert span["name"] == "Screen: PaymentScreen [redacted:pan]"
    [request] = receiver.requests
    assert request.path == "/api/1/integration/otlp/v1/traces/"
    assert "sentry_key=publickey" in dict(request.headers)["X-Sentry-Auth"]
    assert KEY not in str(request.headers)


async def test_a_request_needs_a_key_and_a_valid_body(app: MobileApp) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as client:
        assert (await client.post(PATH, content=protobuf())).status_code == 401
        assert (await client.post(PATH, content=b"hello", headers=AUTH)).status_code == 400
        too_large = json.dumps(said(name="x" * 1_000_001)).encode()
        headers = {**AUTH, "content-type": "application/json"}
        assert (await client.post(PATH, content=too_large, headers=headers)).status_code == 413
