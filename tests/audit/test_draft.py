"""An event becomes an entry: redacted, bounded, canonical, with the personal part separate."""

from __future__ import annotations

import datetime as dt
import decimal
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from audit.kit import changed
from mita_otel import AuditEvent
from mita_otel.audit.canonical import AuditKeys, canonical
from mita_otel.audit.chain import Chain, SealedEntry
from mita_otel.audit.draft import PLACEHOLDER, Draft, Drafter, Origin, restore, separate
from mita_otel.policy import default_policy
from mita_otel.redaction import Redactor

POLICY = default_policy()
HERE = Origin("payments", "host-1", "test", 7)


def draft(**fields: object) -> Draft:
    return Drafter(POLICY.audit, Redactor(POLICY.redaction)).draft(
        AuditEvent(**{"event_type": "test", **fields}),  # type: ignore[arg-type]
        HERE,
    )


def written(of: Draft) -> bytes:
    """Return every byte that would reach the disk."""
    chain = Chain(AuditKeys(b"k" * 16))
    return chain.seal(of, chain.head)[0].line()


def test_an_entry_has_the_fields_of_pci_dss_10_2_2() -> None:
    """The fields of PCI DSS 10.2.2."""
    made = draft(
        user_id="u1",
        resource_type="transaction",
        resource_id="tx-7",
        outcome="denied",
        client_address="10.0.0.9",
    )
    fields = SealedEntry.from_line(written(made)).fields
    assert made.personal is not None
    assert made.personal.values == {"user_id": "u1", "client_address": "10.0.0.9"}
    assert fields["type"] == "test"
    assert fields["recorded_ns"] > 0
    assert fields["outcome"] == "denied"
    assert (fields["service"], fields["host"], fields["environment"], fields["process"]) == (
        "payments", "host-1", "test", 7,
    )  # fmt: skip
    assert (fields["resource_type"], fields["resource_id"]) == ("transaction", "tx-7")


@pytest.mark.parametrize("where", ["details", "before", "after"])
def test_secrets_are_redacted_before_writing(where: str) -> None:
    secret = {
        "card_number": "4111111111111111",
        "note": "cvv 123, iban DE89370400440532013000",
        "pin": "9182",
    }
    line = written(
        draft(**{where: {"deep": [secret]}}, user_id="4111 1111 1111 1111", resource_id="4111111111111111")
    )
    for value in (b"4111111111111111", b"4111 1111", b"DE8937", b'"9182"'):
        assert value not in line


def test_the_body_contains_only_a_commitment_to_personal_data() -> None:
    made = draft(
        user_id="u1",
        client_address="10.0.0.9",
        resource_type="user",
        resource_id="u1",
        details={"email": "u1@example.org", "list": [{"phone": "555"}, "u1"], "amount": 5},
    )
    body = SealedEntry.from_line(written(made)).body
    for value in (b'"u1"', b"10.0.0.9", b"example.org", b'"555"'):
        assert value not in body
    fields = json.loads(body)
    assert fields["details"] == {
        "amount": 5,
        "email": PLACEHOLDER,
        "list": [{"phone": PLACEHOLDER}, PLACEHOLDER],
    }
    assert made.personal is not None
    assert fields["personal"] == made.personal.commitment
    assert restore(fields, made.personal.values["fields"])["details"]["list"] == [{"phone": "555"}, "u1"]


def test_commitments_of_two_entries_of_one_person_differ() -> None:
    first, second = draft(user_id="u1"), draft(user_id="u1")
    assert first.personal is not None
    assert second.personal is not None
    assert first.personal.commitment != second.personal.commitment


def test_details_that_are_too_large_are_replaced_by_a_digest() -> None:
    small = changed(audit__max_entry_kilobytes=1)
    drafter = Drafter(small.audit, Redactor(small.redaction))
    made = drafter.draft(AuditEvent(event_type="a", details={"x": "y" * 900}, after={"x": "z" * 900}), HERE)
    assert {"left_out", "bytes", "sha256"} in (set(made.fields["details"]), set(made.fields["after"]))
    assert len(canonical(made.fields)) < 2048
    # Personal data of a removed part cannot be restored.
    made = drafter.draft(AuditEvent(event_type="a", details={"email": "a@b", "x": "y" * 2000}), HERE)
    assert made.personal is not None
    assert restore(dict(made.fields), made.personal.values["fields"])["details"]["left_out"] == "too large"


def test_an_entry_has_the_ids_of_the_current_span() -> None:
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("test")
    with tracer.start_as_current_span("s") as span:
        made = draft()
        context = span.get_span_context()
    assert made.fields["trace_id"] == trace.format_trace_id(context.trace_id)
    assert made.fields["span_id"] == trace.format_span_id(context.span_id)
    assert draft(trace_id="ab").fields["trace_id"] == "ab"
    assert "trace_id" not in draft().fields


def test_the_time_of_an_event_is_stored_in_utc() -> None:
    zone = dt.timezone(dt.timedelta(hours=5, minutes=30))
    made = draft(occurred_at=dt.datetime(2026, 11, 1, 5, 30, 0, 123456, tzinfo=zone))
    assert made.fields["occurred_ns"] == 1_793_491_200_123_456_000


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (decimal.Decimal("10.10"), b'"10.10"'),
        (dt.date(2026, 11, 1), b'"2026-11-01"'),
        (2**70, b'"1180591620717411303424"'),
        (b"\x00\xff", b'"00ff"'),
        ("a\ud800b", "\"a\N{REPLACEMENT CHARACTER}b\"".encode()),
        ("tab\tline\n\x00", b'"tab\\tline\\n\\u0000"'),
        ({2: 1, "1": {"b": 1, "a": 2}}, b'{"1":{"a":2,"b":1},"2":1}'),
        (float("nan"), b"null"),
        ((1, {2}), b"[1,[2]]"),
    ],
)  # fmt: skip
def test_canonical_json_is_unique(value: object, text: bytes) -> None:
    # Lone surrogates decode to one replacement character or several, depending on the Python version.
    assert (
        canonical(value).replace(
            "\N{REPLACEMENT CHARACTER}".encode() * 3, "\N{REPLACEMENT CHARACTER}".encode()
        )
        == text
    )


def test_characters_that_a_text_column_cannot_store_are_removed_from_ids() -> None:
    made = draft(user_id="u\x00\ud800", resource_id="r\x00", request_id="q" * 5000)
    assert made.personal is not None
    assert "\x00" not in made.personal.values["user_id"]
    assert "\x00" not in made.fields["resource_id"]
    assert len(made.fields["request_id"]) == 512
    made.personal.values["user_id"].encode()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["email", "user_id", "x", "Y", "u1"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(JSON)
def test_separated_personal_data_can_be_restored(tree: object) -> None:
    rest, taken = separate({"details": tree}, frozenset({"email", "user_id"}), "u1")
    assert restore(rest, taken) == {"details": tree}
