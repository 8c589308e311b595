"""Every type of item is redacted, and keeps its ids and the structure that Sentry expects."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from e2e.relay import judge
from leaks import shows
from mita_otel.mobile.envelope import EnvelopeBounds, parse_envelope
from mita_otel.mobile.item_redaction import ItemRedactor, NotRedactable
from mita_otel.policy import default_policy
from mita_otel.redaction import Redactor
from mobile.kit import SHAPES, recorded_now

REDACTOR = ItemRedactor(Redactor())
SID = "5f0a6c8e-41d2-4b3f-9a77-0c5d1e2f3a4b"


def safe(kind: str, value: Any) -> tuple[Any, Counter[str]]:
    tally: Counter[str] = Counter()
    return REDACTOR.value(kind, value, tally), tally


def test_a_session_keeps_its_session_id() -> None:
    session = {
        "sid": SID,
        "did": "c3a5d0f12b4e4c6d8e9fa0b1c2d3e4f5",
        "init": True,
        "started": "2025-11-24T09:00:00.000Z",
        "status": "ok",
        "seq": 1763974800000,
        "errors": 0,
        "attrs": {"release": "mita-mobile@1.4.2+142", "environment": "production", "ip_address": "{{auto}}"},
    }
    result, tally = safe("session", session)
    del session["attrs"]["ip_address"]  # type: ignore[attr-defined]
    assert result == session
    assert not tally


def test_secrets_in_a_session_are_redacted() -> None:
    result, tally = safe(
        "session",
        {"sid": SID, "did": "4111 1111 1111 1111", "password": "hunter2", "attrs": {"token": "abc"}},
    )
    assert result == {
        "sid": SID,
        "did": "[redacted:pan]",
        "password": "[redacted:password]",
        "attrs": {"token": "[redacted:token]"},
    }
    assert tally.total() == 3


@pytest.mark.parametrize("name", ["sid", "attrs", "aggregates", "started"])
@pytest.mark.parametrize(
    "value", ["4111 1111 1111 1111", ["4111 1111 1111 1111"], [[["4111 1111 1111 1111"]]]]
)
def test_a_session_of_any_structure_is_redacted(name: str, value: Any) -> None:
    assert not shows(safe("session", {name: value, "attrs": {"release": [value]}})[0])


def test_aggregated_sessions_are_unchanged() -> None:
    value = {
        "aggregates": [{"started": "2025-11-24T09:00:00Z", "exited": 12, "errored": 1}],
        "attrs": {"release": "a@1"},
    }
    assert safe("sessions", value)[0] == value


@pytest.mark.parametrize("kind", ["span", "log", "trace_metric"])
def test_a_redacted_typed_attribute_becomes_a_string(kind: str) -> None:
    attributes = {
        "card_number": {"value": 4111111111111111, "type": "integer"},
        "card_pin": {"value": 4711, "type": "integer"},
        "screen": {"value": "4111111111111111 Screen", "type": "string"},
        "count": {"value": 3, "type": "integer"},
        "share": {"value": 0.5, "type": "double"},
        "ok": {"value": True, "type": "boolean"},
    }
    result, _ = safe(kind, {"version": 2, "items": [{"name": "x", "attributes": attributes}]})
    shown = result["items"][0]["attributes"]
    assert {name: one["type"] for name, one in shown.items()} == {
        "card_number": "string",
        "card_pin": "string",
        "screen": "string",
        "count": "integer",
        "share": "double",
        "ok": "boolean",
    }
    assert not shows(shown)
    assert "4711" not in str(shown)
    assert shown["count"] == attributes["count"]


def test_an_attribute_with_a_removing_rule_is_left_out() -> None:
    policy = default_policy().redaction
    removing = ItemRedactor(Redactor(policy.replace(modes={**policy.modes, "pan": "remove"})))
    value = {"items": [{"attributes": {"card_number": {"value": "4111111111111111", "type": "string"}}}]}
    assert removing.value("log", value, Counter()) == {"items": [{"attributes": {}}]}


def test_the_statement_of_a_single_span_item_is_masked() -> None:
    span = {"op": "db.sql.query", "description": "SELECT * FROM a WHERE iban = 'GB82'", "span_id": "b" * 16}
    assert safe("span", span)[0] == {**span, "description": "SELECT * FROM a WHERE iban = ?"}


def test_ip_addresses_are_not_inferred() -> None:
    result, _ = safe(
        "event", {"user": {"id": "u", "ip_address": "{{auto}}"}, "sdk": {"name": "x", "version": "1"}}
    )
    assert result["user"] == {"id": "u"}
    assert result["sdk"]["settings"] == {"infer_ip": "never"}


def test_an_item_of_unknown_type_is_redacted_by_field_names() -> None:
    assert safe("brand_new", {"card_number": "1", "note": "pin is 4711"})[0] == {
        "card_number": "[redacted:pan]",
        "note": "pin is [redacted:pin]",
    }


@pytest.mark.parametrize(
    "value", [[], ["4111 1111 1111 1111"], "4111 1111 1111 1111", 4111111111111111, None, True]
)
def test_a_payload_that_is_not_an_object_is_redacted_as_a_value(value: Any) -> None:
    assert not shows(safe("event", value)[0])


def test_an_item_whose_redaction_fails_raises_not_redactable(monkeypatch: pytest.MonkeyPatch) -> None:
    redactor = Redactor()
    monkeypatch.setattr(redactor.compile().events, "redact", lambda *_: 1 / 0)
    with pytest.raises(NotRedactable):
        ItemRedactor(redactor).value("event", {"message": "x"}, Counter())


def test_only_known_fields_of_an_envelope_header_are_kept() -> None:
    header = {
        "event_id": "a" * 32,
        "sent_at": "2025-11-24T09:00:09.000Z",
        "dsn": "https://key@evil.example/1",
        "sdk": {"name": "sentry.dart.flutter", "version": "9.27.0"},
        "trace": {
            "trace_id": "4111111111111111" * 2,
            "public_key": "k" * 32,
            "transaction": "pay with 4111 1111 1111 1111",
            "user_id": "u",
            "password": "hunter2",
        },
        "password": "hunter2",
        "something": {"else": 1},
    }
    tally: Counter[str] = Counter()
    result = REDACTOR.envelope_header(header, tally)
    assert set(result) == {"event_id", "sent_at", "sdk", "trace"}
    assert result["trace"]["trace_id"] == "4111111111111111" * 2
    assert result["trace"]["transaction"] == "pay with [redacted:pan]"
    assert result["trace"]["public_key"] == "k" * 32
    assert "hunter2" not in str(result)


@pytest.mark.parametrize("header", [{}, {"event_id": 5, "sdk": [], "trace": "x", "sent_at": None}])
def test_a_malformed_header_becomes_empty(header: dict[str, Any]) -> None:
    assert REDACTOR.envelope_header(header, Counter()) == {}


def test_only_known_fields_of_an_item_header_are_kept() -> None:
    header = {
        "type": "attachment",
        "length": 5,
        "filename": "4111 1111 1111 1111.png",
        "content_type": "image/png",
        "item_count": 2,
        "evil": "x",
        "attachment_type": {"a": 1},
    }
    assert REDACTOR.item_header(header, Counter()) == {
        "type": "attachment",
        "filename": "[redacted:pan].png",
        "content_type": "image/png",
        "item_count": 2,
    }


@pytest.mark.parametrize("name", SHAPES)
def test_redacted_events_are_valid_for_sentrys_relay(name: str) -> None:
    for item in parse_envelope(recorded_now(name), EnvelopeBounds(16_384, 100)).items:
        if item.type in {"event", "transaction"}:
            event = safe(item.type, json.loads(bytes(item.payload)))[0]
            event.get("tags", {}).pop("environment", None)  # the app sets it, and Sentry has a field for it
            judge(event)
