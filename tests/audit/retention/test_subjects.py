"""Data of a person can be exported; after an erasure no data names the person, and chains verify."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from audit.kit import KEY, kit
from audit.retention.kit import NOW_NS, Store, store
from mita_otel import AuditEvent
from mita_otel.audit.canonical import AuditKeys
from mita_otel.audit.retention.holds import LegalHoldError
from mita_otel.audit.verification.verify import verify
from mita_otel.store.telemetry_tables import ErrorRow, SpanRow

PERSON = "marie.curie@example.org"


@pytest.fixture
def kept(tmp_path: Path, database_url: str) -> Iterator[Store]:
    with store(tmp_path, database_url) as made:
        yield made


def everything(kept: Store) -> str:
    """Return the content of all tables and files."""
    texts: list[str] = []
    with kept.kit.database.read() as connection:
        for table in ("audit_entries", "audit_erasures", "erased_subjects", "errors", "spans", "legal_holds"):
            texts += [str(row) for row in connection.exec_driver_sql(f"SELECT * FROM mita_{table}")]
    texts += [segment.path.read_text() for segment in kept.kit.folder.segments()]
    return "\n".join(texts)


def fill(kept: Store) -> None:
    for user in (PERSON, "another"):
        kept.record(
            5,
            user_id=user,
            client_address="10.1.2.3" if user == PERSON else "10.9.9.9",
            resource_type="user",
            resource_id=user,
            details={"email": user, "amount": 7, "device_id": "d-77" if user == PERSON else "d-1"},
            before={"phone": "+33 1 23" if user == PERSON else "1"},
        )
        kept.put(ErrorRow, user_id=user, message=f"no limit for {user}", details=json.dumps({"email": user}))
        kept.put(SpanRow, trace_id=f"{len(user):032x}", user_id=user, record=json.dumps({"user": user}))
    kept.end_chain()


def test_an_export_contains_all_data_of_the_person_only(kept: Store) -> None:
    fill(kept)
    found = list(kept.subjects.export(PERSON, by="officer"))
    assert [one["kind"] for one in found] == ["audit"] * 5 + ["error", "span"]
    assert found[0]["details"]["email"] == PERSON
    assert found[0]["before"] == {"phone": "+33 1 23"}
    assert "another" not in str(found)
    kept.kit.trail.flush(60)
    [(user, body)] = kept.kit.rows("user_id, body", "event_type = 'subject_export'")
    assert user == "officer"
    assert PERSON not in body


def test_after_an_erasure_no_data_names_the_person_and_chains_verify(kept: Store) -> None:
    fill(kept)
    assert PERSON in everything(kept)
    erased = kept.subjects.erase(PERSON, reason="request 12", by="officer")
    kept.end_chain()
    assert (erased.entries, erased.errors, erased.spans) == (5, 1, 1)
    left = everything(kept)
    for text in (PERSON, "10.1.2.3", "d-77", "+33 1 23"):
        assert text not in left
    assert left.count("10.9.9.9") == 5
    result = verify(kept.kit.database, kept.kit.keys, anchors=kept.kit.anchors())
    assert [str(one) for one in result.findings] == []
    assert result.erased == 5
    assert list(kept.subjects.export(PERSON)) == []
    # Other fields remain evidence, and the entries remain attributable to one person.
    rows = kept.kit.rows("body", f"erasure_id = '{erased.erasure_id}'")
    assert [json.loads(body)["details"]["amount"] for (body,) in rows] == [7] * 5
    kept.kit.trail.flush(60)
    [(body,)] = kept.kit.rows("body", "event_type = 'subject_erase'")
    assert json.loads(body)["details"]["entries"] == 5


def test_traces_of_an_erased_person_are_deleted_completely(kept: Store) -> None:
    """The server span has the user's id; its children may contain it in a path, a query or a message."""
    trace, other = "a" * 32, "b" * 32
    kept.put(SpanRow, trace_id=trace, span_id="1" * 16, user_id=PERSON)
    kept.put(SpanRow, trace_id=trace, span_id="2" * 16, record=json.dumps({"name": f"GET /users/{PERSON}"}))
    kept.put(SpanRow, trace_id=other, span_id="3" * 16)
    assert [one["kind"] for one in kept.subjects.export(PERSON)] == ["span", "span"]
    assert kept.subjects.erase(PERSON, reason="asked").spans == 2
    assert kept.count(SpanRow) == 1
    assert PERSON not in everything(kept)


def test_commitments_of_an_erased_person_cannot_be_matched_with_users(kept: Store) -> None:
    fill(kept)
    erased = kept.subjects.erase(PERSON, reason="request 12")
    rows = kept.kit.rows("personal_key, personal, body", f"erasure_id = '{erased.erasure_id}'")
    assert {(key, personal) for key, personal, _ in rows} == {(None, None)}
    assert len({json.loads(body)["personal"] for *_, body in rows}) == 5


def test_spooled_entries_of_another_process_are_erased_when_moved(kept: Store, tmp_path: Path) -> None:
    from audit.kit import changed

    url = kept.kit.url
    slow = changed(audit__mover__delay_ms=3_600_000.0)
    with kit(tmp_path / "other", url=url, policy=slow, clock_ns=lambda: NOW_NS) as other:
        other.trail.record(AuditEvent(event_type="before", user_id=PERSON))
        kept.set_clock(1)
        kept.record(1, user_id=PERSON)
        kept.kit.trail.flush(60)
        kept.subjects.erase(PERSON, reason="request 12")
        assert other.trail.flush(60)
        kept.set_clock(2)
        kept.record(1, user_id=PERSON)  # a new entry of the same person
        kept.end_chain()
        assert kept.kit.rows("user_id", "event_type = 'before'") == [(None,)]
        assert [user for (user,) in kept.kit.rows("user_id", "event_type = 'test'")] == [None, PERSON]
        other.trail.close(60)
    assert verify(kept.kit.database, kept.kit.keys).ok


def test_late_entries_are_erased_after_a_key_rotation(kept: Store, tmp_path: Path) -> None:
    from audit.kit import changed

    rotated = AuditKeys(b"the new key of the service", [KEY.encode()])
    slow = changed(audit__mover__delay_ms=3_600_000.0)
    kept.record(1, user_id=PERSON)
    kept.subjects.erase(PERSON, reason="request 12")
    kept.end_chain()
    before = NOW_NS - 10**9
    with kit(
        tmp_path / "other", url=kept.kit.url, policy=slow, keys=rotated, clock_ns=lambda: before
    ) as other:
        other.trail.record(AuditEvent(event_type="late", user_id=PERSON))
        assert other.trail.flush(60)
        assert other.rows("user_id", "event_type = 'late'") == [(None,)]
        assert verify(other.database, rotated).ok


@pytest.mark.parametrize("hold", [{}, {"user_id": PERSON}, {"data_class": "errors"}])
def test_a_legal_hold_prevents_an_erasure(kept: Store, hold: dict[str, str]) -> None:
    fill(kept)
    kept.holds.place(reason="case 7", by="counsel", **hold)  # type: ignore[arg-type]
    with pytest.raises(LegalHoldError, match=r"case 7.*nothing is erased"):
        kept.subjects.erase(PERSON, reason="request 12")
    assert len(kept.kit.rows("*", f"user_id = '{PERSON}'")) == 5


def test_an_erasure_removes_the_person_from_released_holds(kept: Store) -> None:
    fill(kept)
    hold = kept.holds.place(reason="case 7", by="counsel", user_id=PERSON)
    kept.holds.release(hold.id, by="counsel")
    erased = kept.subjects.erase(PERSON, reason="request 12")
    assert PERSON not in everything(kept)
    assert [one.user_id for one in kept.holds.all(released=True)] == [erased.erasure_id]


def test_a_hold_on_another_person_does_not_prevent_an_erasure(kept: Store) -> None:
    fill(kept)
    kept.holds.place(reason="case 7", by="counsel", user_id="another")
    assert kept.subjects.erase(PERSON, reason="request 12").entries == 5


def test_a_person_with_a_redacted_id_is_found_by_the_original_id(kept: Store) -> None:
    kept.record(1, user_id="4111 1111 1111 1111")
    kept.kit.trail.flush(60)
    assert kept.subjects.erase("4111 1111 1111 1111", reason="request 12").entries == 1


def test_the_erasure_of_an_unknown_person_changes_no_entry(kept: Store) -> None:
    kept.kit.ledger.add([])
    assert kept.subjects.erase("unknown", reason="request 12").entries == 0


def test_entries_of_many_pages_are_erased(tmp_path: Path) -> None:
    with store(tmp_path) as kept:
        kept.record(1200, user_id=PERSON)
        assert kept.subjects.erase(PERSON, reason="request 12").entries == 1200
        assert kept.kit.rows("*", "user_id IS NOT NULL") == []
