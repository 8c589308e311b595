"""Retention deletes expired data in small batches behind tombstones, keeps data on hold, and is audited."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, text

from audit.retention.kit import DAY_NS, NOW_NS, Store, store
from mita_otel.audit.retention.apply import RetentionError
from mita_otel.audit.verification.findings import AuditFault
from mita_otel.audit.verification.verify import verify
from mita_otel.store.telemetry_tables import BreachRow, ErrorRow, LatencyWindowRow, RedactionRow, SpanRow

MODELS = (ErrorRow, BreachRow, LatencyWindowRow, RedactionRow, SpanRow)


@pytest.fixture
def kept(tmp_path: Path, database_url: str) -> Iterator[Store]:
    with store(tmp_path, database_url, retention__max_batch=7) as made:
        yield made


def sequences(kept: Store, chain: str) -> list[int]:
    return [sequence for (sequence,) in kept.kit.rows("sequence", f"chain = '{chain}'")]


def assert_verifies(kept: Store) -> None:
    kept.kit.trail.flush(60)
    result = verify(kept.kit.database, kept.kit.keys, anchors=kept.kit.anchors(), spool=kept.kit.folder)
    assert [str(one) for one in result.findings] == []


def fill_with_old_and_young_entries(kept: Store) -> tuple[str, str, str]:
    """Return an old chain, a partly old one and a new one."""
    kept.set_clock(-2600)
    old = kept.record(20)
    kept.end_chain()
    kept.set_clock(-2570)
    mixed = kept.record(20)
    kept.set_clock(-2500)
    kept.record(20)
    kept.end_chain()
    kept.set_clock(-8)
    young = kept.record(5)
    kept.end_chain()
    kept.set_clock(0)
    return old, mixed, young


def test_entries_older_than_seven_years_are_deleted_and_chains_verify(kept: Store) -> None:
    old, mixed, young = fill_with_old_and_young_entries(kept)
    applied = kept.retention.apply(trust_clock=True)
    assert applied.deleted["mita_audit_entries"] == 23 + 22
    assert applied.tombstones == 2
    assert sequences(kept, old) == []
    assert sequences(kept, mixed) == list(range(22, 43))
    assert len(sequences(kept, young)) == 8
    assert_verifies(kept)
    # The purge is audited.
    kept.kit.trail.flush(60)
    assert len(kept.kit.rows("*", "event_type = 'retention_apply'")) == 1
    # Later the rest of the mixed chain is deleted as well.
    kept.set_clock(70)
    kept.retention.apply(trust_clock=True)
    assert sequences(kept, mixed) == []
    assert_verifies(kept)


def test_a_dry_run_reports_the_same_counts_and_deletes_nothing(kept: Store) -> None:
    fill_with_old_and_young_entries(kept)
    for model in MODELS:
        kept.put(model, **{time_of(model): at(model, -3000)})
    before = kept.kit.rows()
    dry = kept.retention.apply(dry_run=True, trust_clock=True)
    assert kept.kit.rows() == before
    assert [kept.count(model) for model in MODELS] == [1] * 5
    wet = kept.retention.apply(trust_clock=True)
    assert (dry.deleted, dry.tombstones) == (wet.deleted, wet.tombstones)
    assert sum(wet.deleted.values()) == 45 + 5


def time_of(model: Any) -> str:
    return {ErrorRow: "occurred_ns", BreachRow: "occurred_ns", LatencyWindowRow: "start_s", RedactionRow: "hour_ns", SpanRow: "start_ns"}[model]  # fmt: skip


def at(model: Any, days: float) -> int:
    ns = NOW_NS + int(days * DAY_NS)
    return ns // 10**9 if model is LatencyWindowRow else ns


@pytest.mark.parametrize(
    ("model", "days"),
    [(ErrorRow, 2557), (BreachRow, 366), (LatencyWindowRow, 366), (RedactionRow, 366), (SpanRow, 30)],
)
def test_each_data_class_has_its_retention_period(kept: Store, model: Any, days: int) -> None:
    """The guide's table: errors seven years, performance one year, debug thirty days."""
    for number in range(15):
        unique = {"trace_id": f"{number:032x}"} if model is SpanRow else {}
        unique |= {"rule": f"r{number}"} if model is RedactionRow else {}
        kept.put(model, **{time_of(model): at(model, -days - 0.01)}, **unique)
    kept.put(
        model,
        **{time_of(model): at(model, -days + 0.01)},
        **({"trace_id": "f" * 32} if model is SpanRow else {}),
    )
    kept.retention.apply(trust_clock=True)
    assert kept.count(model) == 1


def test_rows_are_deleted_in_small_batches(kept: Store) -> None:
    for number in range(20):
        kept.put(SpanRow, trace_id=f"{number:032x}", start_ns=at(SpanRow, -100))
    counts: list[int] = []

    @event.listens_for(kept.kit.database.engine, "after_cursor_execute")
    def after(conn: Any, cursor: Any, statement: str, *rest: Any) -> None:
        if statement.startswith("DELETE FROM mita_spans"):
            counts.append(cursor.rowcount)

    kept.retention.apply(trust_clock=True)
    assert counts == [7, 7, 6]


# --- legal holds -------------------------------------------------------------------------------------
def test_entries_on_hold_are_kept_and_others_are_deleted(kept: Store) -> None:
    kept.set_clock(-3000)
    kept.record(5, user_id="u1")
    kept.record(1, user_id="held")
    chain = kept.record(5, user_id="u1")
    kept.end_chain()
    kept.set_clock(0)
    hold = kept.holds.place(reason="case 7", by="counsel", user_id="held")
    applied = kept.retention.apply(trust_clock=True)
    assert applied.holds == 1
    assert sequences(kept, chain) == [7]
    assert_verifies(kept)
    kept.holds.release(hold.id, by="counsel")
    kept.retention.apply(trust_clock=True)
    assert sequences(kept, chain) == []
    assert_verifies(kept)


@pytest.mark.parametrize(
    ("hold", "kept_rows"),
    [
        ({}, [1, 1]),
        ({"data_class": "errors"}, [1, 1]),
        ({"data_class": "audit"}, [0, 0]),
        ({"user_id": "u1"}, [1, 0]),
        ({"from_ns": NOW_NS - 3001 * DAY_NS}, [1, 1]),
        ({"from_ns": NOW_NS - 2999 * DAY_NS}, [0, 0]),
        ({"until_ns": NOW_NS - 3001 * DAY_NS}, [0, 0]),
        ({"user_id": "u1", "until_ns": NOW_NS}, [1, 0]),
    ],
)  # fmt: skip
def test_a_hold_applies_to_a_class_a_person_or_a_period(
    kept: Store, hold: dict[str, Any], kept_rows: list[int]
) -> None:
    kept.put(ErrorRow, occurred_ns=at(ErrorRow, -3000), user_id="u1")
    kept.put(ErrorRow, occurred_ns=at(ErrorRow, -3000), user_id=None)
    kept.holds.place(reason="case 7", by="counsel", **hold)
    kept.retention.apply(trust_clock=True)
    with kept.kit.database.read() as connection:
        found = [row.user_id for row in connection.exec_driver_sql("SELECT user_id FROM mita_errors")]
    assert [found.count("u1"), found.count(None)] == kept_rows


def test_a_hold_placed_during_a_purge_applies_at_once(kept: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A purge of millions of rows takes hours."""
    old, mixed, _ = fill_with_old_and_young_entries(kept)
    for number in range(20):
        kept.put(SpanRow, span_id=f"{number:016x}", start_ns=at(SpanRow, -100))
    from mita_otel.audit.retention.entry_purge import AuditPurge

    real = AuditPurge.purge

    def then_a_hold(self: AuditPurge, *arguments: Any, **named: Any) -> int:
        purged = real(self, *arguments, **named)
        kept.holds.place(reason="case 7", by="counsel")
        return purged

    monkeypatch.setattr(AuditPurge, "purge", then_a_hold)
    applied = kept.retention.apply(trust_clock=True)
    assert sequences(kept, old) == []
    assert len(sequences(kept, mixed)) == 43
    assert kept.count(SpanRow) == 20
    assert (applied.tombstones, applied.deleted["mita_audit_entries"], applied.holds) == (1, 23, 1)
    assert_verifies(kept)


# --- failures -----------------------------------------------------------------------------------------
def test_a_killed_purge_is_completed_by_the_next_one(kept: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    old, _, _ = fill_with_old_and_young_entries(kept)
    from mita_otel.audit.retention.entry_purge import AuditPurge

    real, calls = AuditPurge._delete, []

    def half(self: AuditPurge, chain: str, first: int, last: int) -> int:
        calls.append(chain)
        real(self, chain, first, first + 9)
        raise KeyboardInterrupt

    monkeypatch.setattr(AuditPurge, "_delete", half)
    with pytest.raises(KeyboardInterrupt):
        kept.retention.apply(trust_clock=True)
    monkeypatch.undo()
    assert sequences(kept, old) == list(range(10, 23))
    assert_verifies(kept)
    applied = kept.retention.apply(trust_clock=True)
    assert applied.deleted["mita_audit_entries"] == 13 + 22
    assert sequences(kept, old) == []
    assert_verifies(kept)


def test_an_entry_restored_behind_a_tombstone_hides_no_deletion(kept: Store) -> None:
    """A purged entry can be restored from a backup: it is genuine, and within the tombstone."""
    _, mixed, _ = fill_with_old_and_young_entries(kept)
    columns = "chain, sequence, recorded_ns, event_type, outcome, service, body, mac, key_id"
    (before,) = kept.kit.rows(columns, f"chain = '{mixed}' AND sequence = 3")
    kept.retention.apply(trust_clock=True)
    assert sequences(kept, mixed) == list(range(22, 43))
    with kept.kit.database.write() as connection:
        connection.execute(
            text(f"INSERT INTO mita_audit_entries ({columns}) VALUES (:a, :b, :c, :d, :e, :f, :g, :h, :i)"),
            dict(zip("abcdefghi", before, strict=True)),
        )
        if kept.kit.database.is_sqlite:
            connection.exec_driver_sql("DROP TRIGGER mita_audit_entries_delete")
        else:
            connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        connection.exec_driver_sql(
            f"DELETE FROM mita_audit_entries WHERE chain = '{mixed}' AND sequence BETWEEN 22 AND 30"
        )
    result = verify(kept.kit.database, kept.kit.keys)
    assert [(one.fault, one.sequence) for one in result.findings if one.chain] == [(AuditFault.MISSING, 22)]


def test_entries_after_an_incomplete_purge_are_linked_to_its_tombstone(kept: Store) -> None:
    _, mixed, _ = fill_with_old_and_young_entries(kept)
    columns = "chain, sequence, recorded_ns, event_type, outcome, service, body, mac, key_id"
    (before,) = kept.kit.rows(columns, f"chain = '{mixed}' AND sequence = 3")
    kept.retention.apply(trust_clock=True)
    with kept.kit.database.write() as connection:
        connection.execute(
            text(f"INSERT INTO mita_audit_entries ({columns}) VALUES (:a, :b, :c, :d, :e, :f, :g, :h, :i)"),
            dict(zip("abcdefghi", before, strict=True)),
        )
    assert_verifies(kept)


def test_a_tampered_chain_is_not_purged(kept: Store, caplog: pytest.LogCaptureFixture) -> None:
    """A purge must not delete evidence of tampering."""
    old, mixed, _ = fill_with_old_and_young_entries(kept)
    with kept.kit.database.write() as connection:
        if kept.kit.database.is_sqlite:
            connection.exec_driver_sql("DROP TRIGGER mita_audit_entries_update")
        else:
            connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        connection.exec_driver_sql(
            f"UPDATE mita_audit_entries SET outcome = 'denied' WHERE chain = '{old}' AND sequence = 3"
        )
    applied = kept.retention.apply(trust_clock=True)
    assert len(sequences(kept, old)) == 23
    assert sequences(kept, mixed)[0] == 22
    assert applied.refused == [
        f"the chain {old} does not verify (column: {old} 3: the column outcome was changed: it differs from "
        "the signed body) and is not purged; run: mita-otel audit verify"
    ]
    assert applied.refused[0] in caplog.text
    kept.kit.trail.flush(60)
    assert kept.kit.rows("outcome", "event_type = 'retention_apply'") == [("failure",)]


def test_a_clock_stepped_forward_stops_retention(kept: Store) -> None:
    if not kept.kit.database.is_sqlite:
        pytest.skip("there the server's clock says so first")
    for day in range(-30, 0):
        kept.set_clock(day)
        kept.record(2)
    kept.end_chain()
    kept.set_clock(4000)
    with pytest.raises(
        RetentionError, match=r"nothing was recorded between .* stepped forward.*--trust-clock"
    ):
        kept.retention.apply()
    # Not even after entries that were recorded with the wrong clock.
    kept.record(3)
    kept.end_chain()
    kept.set_clock(4002)
    with pytest.raises(RetentionError, match=r"nothing was deleted"):
        kept.retention.apply()
    kept.set_clock(0)
    assert kept.retention.apply().deleted["mita_audit_entries"] == 0


def test_a_clock_stepped_back_deletes_less(kept: Store) -> None:
    if not kept.kit.database.is_sqlite:
        pytest.skip("there the server's clock says so first")
    fill_with_old_and_young_entries(kept)
    kept.set_clock(-1000)
    applied = kept.retention.apply(trust_clock=True)
    assert applied.deleted["mita_audit_entries"] == 0
    assert_verifies(kept)


def test_a_clock_that_differs_from_the_database_servers_stops_retention(kept: Store) -> None:
    if kept.kit.database.is_sqlite:
        pytest.skip("SQLite has no other clock")
    kept.kit.ledger.add([])
    with pytest.raises(RetentionError, match=r"the database server's says"):
        kept.retention.apply()


def test_retention_of_an_empty_store_deletes_nothing(tmp_path: Path) -> None:
    with store(tmp_path) as kept:
        kept.kit.ledger.add([])
        assert set(kept.retention.apply().deleted.values()) == {0}


def test_the_digest_of_an_erased_person_expires_with_debug_data(kept: Store) -> None:
    kept.record(1, user_id="u1")
    kept.subjects.erase("u1", reason="asked")
    kept.set_clock(31)
    kept.retention.apply(trust_clock=True)
    with kept.kit.database.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM mita_erased_subjects").scalar_one() == 0
    assert_verifies(kept)
