"""An envelope is forwarded without secrets and refused items, with tags, under Sentry's key."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from mita_otel.mobile.app_errors import is_crash
from mita_otel.mobile.credentials import Refused
from mita_otel.mobile.envelope import EnvelopeBounds, EnvelopeError, parse_envelope
from mita_otel.mobile.preparation import Intake, Prepared, Preparer
from mita_otel.policy import Policy
from mita_otel.redaction import Redactor
from mobile.kit import KEY, SECRETS, SHAPES, envelope, intake, policy_with, recorded, transaction

POLICY = policy_with()
REDACTOR = Redactor()


def prepare(body: bytes, policy: Policy = POLICY, limited: tuple[str, ...] = (), **more: Any) -> Prepared:
    preparer = Preparer(
        policy, REDACTOR, lambda project, categories, priority: not set(limited).isdisjoint(categories)
    )
    return preparer.prepare(intake(body, **more))


def items(prepared: Prepared) -> list[tuple[str, Any]]:
    read = parse_envelope(b"{}\n" + prepared.payload, EnvelopeBounds(1 << 20, 1 << 20))
    return [(item.type, json.loads(bytes(item.payload))) for item in read.items]


def items_policy(**rules: dict[str, str]) -> Policy:
    return policy_with(items={name: {"priority": "debug", **rule} for name, rule in rules.items()})


@pytest.mark.parametrize("name", SHAPES)
def test_no_secret_of_a_recorded_envelope_is_forwarded(name: str) -> None:
    body = recorded(name)
    planted = [secret for secret in SECRETS if secret in body]
    prepared = prepare(body)
    goes_on = prepared.payload + json.dumps(prepared.header).encode()
    assert [secret for secret in planted if secret in goes_on] == []
    if planted and prepared.payload:
        assert prepared.redacted or "attachment" in str(prepared.outcomes)


@pytest.mark.parametrize(
    ("name", "outcomes"),
    [
        ("payment_error", {("event", "forwarded"): 1}),
        (
            "native_crash",
            {("event", "forwarded"): 1, ("session", "forwarded"): 1, ("attachment", "refused"): 1},
        ),
        ("screenshot", {("event", "forwarded"): 1, ("attachment", "refused"): 2}),
        ("profile", {("transaction", "forwarded"): 1, ("profile", "refused"): 1}),
        ("replay", {("replay_event", "refused"): 1, ("replay_recording", "refused"): 1}),
        ("replay_video", {("replay_video", "refused"): 1}),
        ("profile_chunk", {("profile_chunk", "refused"): 1}),
        ("flutter_crash", {("event", "forwarded"): 1, ("client_report", "forwarded"): 1}),
    ],
)
def test_binary_items_are_refused_and_the_others_are_forwarded(name: str, outcomes: dict[Any, int]) -> None:
    prepared = prepare(recorded(name))
    assert dict(prepared.outcomes) == outcomes
    assert b"PNG" not in prepared.payload
    assert b"MDMP" not in prepared.payload


@pytest.mark.parametrize(
    ("name", "priority"),
    [
        ("native_crash", "crash"),
        ("flutter_crash", "crash"),
        ("javascript_tunnel", "crash"),
        ("payment_error", "error"),
        ("slow_message", "error"),
        ("feedback", "error"),
        ("user_report", "error"),
        ("session_start", "health"),
        ("client_report", "health"),
        ("screen_render", "performance"),
        ("streamed_spans", "performance"),
        ("logs", "debug"),
        ("metrics", "debug"),
    ],
)
def test_each_type_of_envelope_has_its_priority(name: str, priority: str) -> None:
    assert prepare(recorded(name)).priority == priority


@pytest.mark.parametrize(
    "event",
    [
        {"level": "fatal"},
        {"exception": {"values": [{"mechanism": {"handled": True}}, {"mechanism": {"handled": False}}]}},
        {"exception": [{"mechanism": {"handled": False}}]},
    ],
)
def test_crashes_are_recognised(event: dict[str, Any]) -> None:
    assert is_crash(event)


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"level": "error"},
        {"exception": None},
        {"exception": {"values": None}},
        {"exception": {"values": [None, 5, {"mechanism": None}, {"mechanism": {"handled": None}}]}},
    ],
)
def test_handled_errors_are_not_crashes(event: dict[str, Any]) -> None:
    assert not is_crash(event)


def test_items_keep_order_and_type_and_get_their_new_length() -> None:
    prepared = prepare(recorded("flutter_crash"))
    read = parse_envelope(b"{}\n" + prepared.payload, EnvelopeBounds(1 << 20, 100))
    assert [item.type for item in read.items] == ["event", "client_report"]
    assert all(item.header["length"] == len(item.payload) for item in read.items)
    assert all(item.header["content_type"] == "application/json" for item in read.items)


def test_the_items_of_a_batch_keep_their_count_and_content_type() -> None:
    prepared = prepare(recorded("logs"))
    [log] = parse_envelope(b"{}\n" + prepared.payload, EnvelopeBounds(1 << 20, 100)).items
    assert log.header["item_count"] == 2
    assert log.header["content_type"] == "application/vnd.sentry.items.log+json"


def test_the_dsn_is_removed_and_the_key_of_the_trace_replaced() -> None:
    prepared = prepare(recorded("payment_error"))
    assert "dsn" not in prepared.header
    assert prepared.header["trace"]["public_key"] == "fedcbafedcbafedc"
    assert prepared.header["event_id"] == prepared.event_id
    assert KEY.encode() not in prepared.payload


def test_the_key_of_another_project_in_a_trace_is_kept() -> None:
    header = {"trace": {"trace_id": "a" * 32, "public_key": "somebodyelses"}}
    assert prepare(envelope(("event", {}), header=header)).header["trace"]["public_key"] == "somebodyelses"


@pytest.mark.parametrize("said", ["9ec79c33ec9942ab8353589fcb2e04dc", "9EC79C33-EC99-42AB-8353-589FCB2E04DC"])
def test_the_event_id_is_kept_for_retries_of_the_sdk(said: str) -> None:
    prepared = prepare(envelope(("event", {"event_id": said}), event_id=said))
    assert prepared.event_id == "9ec79c33ec9942ab8353589fcb2e04dc"


@pytest.mark.parametrize("said", ["x", 5, [], {}, "a" * 33])
def test_an_invalid_event_id_is_refused(said: Any) -> None:
    with pytest.raises(EnvelopeError) as caught:
        prepare(envelope(("event", {}), header={"event_id": said}, event_id=""))
    assert caught.value.reason == "bad_event_id"


# --- tags ---------------------------------------------------------------------------------------------
def test_tags_reserved_for_the_gateway_are_removed() -> None:
    claimed = {
        "severity": "critical",
        "security_event": "breach",
        "latency_rule": "x",
        "component": "backend",
    }
    [(_, event)] = items(prepare(envelope(("event", {"tags": claimed}))))
    assert event["tags"] == {"severity": "critical", "component": "mobile_app"}


def test_tags_in_pairs_are_read() -> None:
    [(_, event)] = items(
        prepare(envelope(("event", {"tags": [["severity", "high"], ["request_id", "1"], [1], 5]})))
    )
    assert event["tags"] == {"severity": "high", "component": "mobile_app"}


# --- limits ---------------------------------------------------------------------------------------------
def test_spans_are_measured_and_marked() -> None:
    prepared = prepare(recorded("screen_render"))
    [(_, event)] = items(prepared)
    assert event["tags"]["latency_rule"] == "mobile.screen"
    assert [one.name for one in prepared.measured] == ["TransactionScreen", "GET api.mita.example"]


def test_a_secret_in_a_screen_name_is_redacted_before_measuring() -> None:
    prepared = prepare(envelope(("transaction", transaction(name="Screen: Card 4111 1111 1111 1111"))))
    assert [one.name for one in prepared.measured] == ["Card [redacted:pan]"]


# --- policy -----------------------------------------------------------------------------------
def test_unknown_items_are_refused_or_forwarded_redacted_by_policy() -> None:
    body = envelope(("brand_new", {"card_number": "4111111111111111", "a": 1}), ("other", b"\x00binary"))
    assert dict(prepare(body).outcomes) == {("unknown", "refused"): 2}
    said = policy_with().mobile.replace(unknown_items="forward")
    prepared = prepare(body, POLICY.replace(mobile=said))
    assert dict(prepared.outcomes) == {("unknown", "forwarded"): 1, ("unknown", "malformed"): 1}
    assert items(prepared) == [("brand_new", {"card_number": "[redacted:pan]", "a": 1})]
    assert prepared.categories == ("default",)


def test_an_attachment_is_forwarded_unredacted_only_by_policy() -> None:
    policy = items_policy(attachment={"action": "forward_unredacted"})
    prepared = prepare(recorded("screenshot"), policy)
    assert prepared.outcomes["attachment", "forwarded"] == 2
    assert b"\x89PNG\r\n\x1a\n" in prepared.payload
    assert "attachment" in prepared.categories


def test_the_policy_may_refuse_a_type() -> None:
    prepared = prepare(recorded("flutter_crash"), items_policy(event={"action": "refuse"}))
    assert prepared.outcomes == {("event", "refused"): 1, ("client_report", "forwarded"): 1}


def test_rate_limited_items_are_left_out() -> None:
    prepared = prepare(recorded("flutter_crash"), limited=("internal",))
    assert prepared.outcomes == {("event", "forwarded"): 1, ("client_report", "rate_limited"): 1}
    assert prepare(recorded("payment_error"), limited=("error",)).only("rate_limited")
    assert prepare(recorded("logs"), limited=("log_byte",)).only("rate_limited")


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{",
        b"[]",
        b'"x"',
        b"5",
        b"null",
        b"\xff\xfe",
        b'{"a":NaN}',
        b'{"a":"\\ud800"}',
        b"[" * 5000,
        b"{}{}",
    ],
)
def test_an_item_that_is_not_a_json_object_is_left_out(payload: bytes) -> None:
    prepared = prepare(envelope(("event", payload), ("session", {"sid": "x"})))
    assert prepared.outcomes == {("event", "malformed"): 1, ("session", "forwarded"): 1}


def test_an_item_above_the_size_limit_is_left_out() -> None:
    prepared = prepare(envelope(("event", {"message": "x" * 1_000_001}), ("session", {"sid": "x"})))
    assert prepared.outcomes == {("event", "too_large"): 1, ("session", "forwarded"): 1}


def test_an_item_whose_redaction_fails_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    redactor = Redactor()
    monkeypatch.setattr(redactor.compile().events, "redact", lambda *_: 1 / 0)
    preparer = Preparer(POLICY, redactor, lambda *_: False)
    prepared = preparer.prepare(intake(envelope(("event", {"message": "4111 1111 1111 1111"}))))
    assert prepared.outcomes == {("event", "not_redactable"): 1}
    assert prepared.payload == b""


def test_a_compressed_body_is_decompressed() -> None:
    assert prepare(gzip.compress(recorded("payment_error")), encoding="gzip").payload


# --- the tunnel ---------------------------------------------------------------------------------------------
def test_the_dsn_of_a_tunnelled_envelope_selects_the_project() -> None:
    preparer = Preparer(POLICY, REDACTOR, lambda *_: False)
    assert preparer.prepare(Intake("", recorded("javascript_tunnel"))).project == "app"
    with pytest.raises(Refused):
        preparer.prepare(
            Intake("", envelope(("event", {}), header={"dsn": f"https://{KEY}@gateway.example/1"}))
        )
    with pytest.raises(Refused):
        preparer.prepare(Intake("", b'{}\n{"type":"event"}\n{}'))
