"""A person's rights: everything about them is found; once they are erased nobody finds them, and chains verify."""

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
    """Return every text of every table, and of every file."""
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


def test_an_export_has_everything_of_the_person_and_nothing_of_others(kept: Store) -> None:
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


def test_after_an_erasure_nothing_names_the_person_and_every_chain_verifies(kept: Store) -> None:
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
    # What is not personal stays evidence, and all of it is still known to be of one person.
    rows = kept.kit.rows("body", f"erasure_id = '{erased.erasure_id}'")
    assert [json.loads(body)["details"]["amount"] for (body,) in rows] == [7] * 5
    kept.kit.trail.flush(60)
    [(body,)] = kept.kit.rows("body", "event_type = 'subject_erase'")
    assert json.loads(body)["details"]["entries"] == 5


def test_spans_of_a_persons_traces_go_as_a_whole(kept: Store) -> None:
    """The server's span says whose request it was; those in it may say so in a path, a query, a message."""
    trace, other = "a" * 32, "b" * 32
    kept.put(SpanRow, trace_id=trace, span_id="1" * 16, user_id=PERSON)
    kept.put(SpanRow, trace_id=trace, span_id="2" * 16, record=json.dumps({"name": f"GET /users/{PERSON}"}))
    kept.put(SpanRow, trace_id=other, span_id="3" * 16)
    assert [one["kind"] for one in kept.subjects.export(PERSON)] == ["span", "span"]
    assert kept.subjects.erase(PERSON, reason="asked").spans == 2
    assert kept.count(SpanRow) == 1
    assert PERSON not in everything(kept)


def test_nobody_can_tell_whose_the_commitments_were_by_trying_every_user(kept: Store) -> None:
    fill(kept)
    erased = kept.subjects.erase(PERSON, reason="request 12")
    rows = kept.kit.rows("personal_key, personal, body", f"erasure_id = '{erased.erasure_id}'")
    assert {(key, personal) for key, personal, _ in rows} == {(None, None)}
    assert len({json.loads(body)["personal"] for *_, body in rows}) == 5


def test_what_still_waits_in_another_processs_spool_is_erased_on_its_way_in(
    kept: Store, tmp_path: Path
) -> None:
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
        kept.record(1, user_id=PERSON)  # they came back: this is a new entry of theirs
        kept.end_chain()
        assert kept.kit.rows("user_id", "event_type = 'before'") == [(None,)]
        assert [user for (user,) in kept.kit.rows("user_id", "event_type = 'test'")] == [None, PERSON]
        other.trail.close(60)
    assert verify(kept.kit.database, kept.kit.keys).ok


def test_an_erasure_after_the_key_was_changed_recognises_what_comes_late(kept: Store, tmp_path: Path) -> None:
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
def test_a_legal_hold_comes_before_an_erasure(kept: Store, hold: dict[str, str]) -> None:
    fill(kept)
    kept.holds.place(reason="case 7", by="counsel", **hold)  # type: ignore[arg-type]
    with pytest.raises(LegalHoldError, match=r"case 7.*nothing is erased"):
        kept.subjects.erase(PERSON, reason="request 12")
    assert len(kept.kit.rows("*", f"user_id = '{PERSON}'")) == 5


def test_a_hold_that_was_released_does_not_name_the_person_any_more(kept: Store) -> None:
    fill(kept)
    hold = kept.holds.place(reason="case 7", by="counsel", user_id=PERSON)
    kept.holds.release(hold.id, by="counsel")
    erased = kept.subjects.erase(PERSON, reason="request 12")
    assert PERSON not in everything(kept)
    assert [one.user_id for one in kept.holds.all(released=True)] == [erased.erasure_id]


def test_a_hold_of_somebody_else_does_not_hinder(kept: Store) -> None:
    fill(kept)
    kept.holds.place(reason="case 7", by="counsel", user_id="another")
    assert kept.subjects.erase(PERSON, reason="request 12").entries == 5


def test_a_person_whose_id_is_redacted_is_found_by_the_id_they_have(kept: Store) -> None:
    kept.record(1, user_id="4111 1111 1111 1111")
    kept.kit.trail.flush(60)
    assert kept.subjects.erase("4111 1111 1111 1111", reason="request 12").entries == 1


def test_somebody_unknown_is_erased_without_a_trace(kept: Store) -> None:
    kept.kit.ledger.add([])
    assert kept.subjects.erase("nobody", reason="request 12").entries == 0


def test_entries_of_many_pages_are_erased(tmp_path: Path) -> None:
    with store(tmp_path) as kept:
        kept.record(1200, user_id=PERSON)
        assert kept.subjects.erase(PERSON, reason="request 12").entries == 1200
        assert kept.kit.rows("*", "user_id IS NOT NULL") == []
