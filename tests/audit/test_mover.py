"""Spooled entries are moved in order, once, despite crashes, damage, races and lost inserts."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import pytest

from audit.kit import KEY, Kit, changed, kit
from mita_otel import AuditEvent
from mita_otel.audit.anchors import AnchorFile
from mita_otel.audit.canonical import AuditKeys
from mita_otel.audit.chain import Chain
from mita_otel.audit.draft import Draft
from mita_otel.audit.errors import EntriesDiscardedError
from mita_otel.audit.mover import ChainProgress, Mover
from mita_otel.audit.verification.verify import verify
from mita_otel.instrumentation.patches import Patches
from mita_otel.policy import default_policy
from mita_otel.spool import SegmentWriter, SpoolFolder, SpoolLock
from mita_otel.store.errors import StoreUnavailableError

KEYS = AuditKeys(KEY.encode())


def leave(folder: SpoolFolder, count: int, *, segments: int = 1, keys: AuditKeys = KEYS) -> Chain:
    """Leave a chain in the spool, like a killed process."""
    folder.create()
    chain = Chain(keys)
    writer = SegmentWriter(folder, chain.id, max_age_s=3600, max_bytes=1 << 20)
    for number in range(count):
        draft = Draft({"type": "test", "outcome": "success", "service": "s", "details": {"n": number}}, None)
        entry, place = chain.seal(draft, chain.head)
        writer.commit(entry.line())
        chain.advance(place)
        if (number + 1) % (count // segments or 1) == 0:
            writer.seal()
    writer.forget()
    return chain


def sequences(made: Kit, chain: Chain) -> list[int]:
    return [sequence for (sequence,) in made.rows("sequence", f"chain = '{chain.id}'")]


@pytest.mark.parametrize("segments", [1, 4])
def test_entries_of_a_dead_process_are_moved_and_its_files_deleted(
    tmp_path: Path, database_url: str, segments: int
) -> None:
    with kit(tmp_path, url=database_url) as made:
        chain = leave(made.folder, 20, segments=segments)
        assert made.mover().adopt() == 1
        assert sequences(made, chain) == list(range(20))
        assert list(made.folder.path.iterdir()) == []
        assert made.anchors()[-1].sequence == 19
        assert verify(made.database, KEYS, anchors=made.anchors()).ok


def test_a_chain_with_a_live_writer_is_not_adopted(tmp_path: Path) -> None:
    with kit(tmp_path) as made:
        chain = leave(made.folder, 3)
        lock = SpoolLock.take(made.folder.lock_path(chain.id))
        assert lock is not None
        assert made.mover().adopt() == 0
        lock.release(remove=False)
        assert made.mover().adopt() == 1


@pytest.mark.parametrize("moved", [1, 5, 19, 20])
def test_entries_committed_before_a_kill_are_not_duplicated(
    tmp_path: Path, database_url: str, moved: int
) -> None:
    """After a kill between commit and end of segment, the next mover reads the whole segment."""
    with kit(tmp_path, url=database_url, policy=changed(audit__mover__max_batch=3)) as made:
        chain = leave(made.folder, 20)
        made.ledger.add(made.spooled()[:moved])
        made.mover().adopt()
        assert sequences(made, chain) == list(range(20))


def test_concurrent_movers_without_a_lock_duplicate_nothing(tmp_path: Path, database_url: str) -> None:
    """Like a network file system without working locks."""
    with kit(tmp_path, url=database_url, policy=changed(audit__mover__max_batch=7)) as made:
        chain = leave(made.folder, 200)
        barrier = threading.Barrier(3)
        made.ledger.add([])  # creates the tables
        problems: list[Exception] = []

        def race() -> None:
            mover = made.mover()
            barrier.wait()
            for _ in range(50):
                try:
                    mover.move(chain.id, ChainProgress())
                except (StoreUnavailableError, FileNotFoundError):
                    continue
                except Exception as error:  # noqa: BLE001 - shown by the assertion
                    problems.append(error)
                return

        threads = [threading.Thread(target=race) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert problems == []
        assert sequences(made, chain) == list(range(200))
        assert verify(made.database, KEYS).ok


def test_a_truncated_last_line_is_ignored(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with kit(tmp_path) as made:
        chain = leave(made.folder, 5)
        [segment] = made.folder.segments()
        whole = segment.path.read_bytes()
        for cut in (1, 10, 60, 200):
            segment.path.write_bytes(whole[:-cut])
            made.folder.lock_path(chain.id).touch()
            made.mover().adopt()
            assert sequences(made, chain) == [0, 1, 2, 3]
            assert made.folder.segments() == []
        assert "ends with an incomplete entry" in caplog.text
        assert not [record for record in caplog.records if record.levelno >= logging.CRITICAL]


@pytest.mark.parametrize("damage", [b"\x00" * 50, b"\n\n", b"garbage\n", b"{}\t\t\t\n"])
def test_damage_in_a_segment_loses_no_other_entry_and_is_kept_as_evidence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: bytes
) -> None:
    with kit(tmp_path) as made:
        chain = leave(made.folder, 6)
        [segment] = made.folder.segments()
        lines = segment.path.read_bytes().splitlines(keepends=True)
        lines[2] = damage
        segment.path.write_bytes(b"".join(lines))
        made.mover().adopt()
        # Damage without a final line break includes the next entry.
        expected = [0, 1, 3, 4, 5] if damage.endswith(b"\n") else [0, 1, 4, 5]
        assert sequences(made, chain) == expected
        assert "is damaged at byte" in caplog.text
        [evidence] = [path for path in made.folder.path.iterdir() if path.name.endswith(".evidence")]
        assert damage in evidence.read_bytes()
        assert not verify(made.database, KEYS).ok


def test_an_entry_forged_in_the_spool_is_not_moved(tmp_path: Path) -> None:
    with kit(tmp_path) as made:
        chain = leave(made.folder, 3)
        [segment] = made.folder.segments()
        segment.path.write_bytes(segment.path.read_bytes().replace(b'"n":1', b'"n":9'))
        made.mover().adopt()
        assert sequences(made, chain) == [0, 2]
        assert [one.sequence for one in verify(made.database, KEYS).findings] == [1]


def test_entries_signed_with_an_unknown_key_are_moved(tmp_path: Path) -> None:
    with kit(tmp_path) as made:
        chain = leave(made.folder, 3, keys=AuditKeys(b"the key of another service"))
        made.mover().adopt()
        assert sequences(made, chain) == [0, 1, 2]


@pytest.mark.parametrize(
    "line", [b"m\tffffffffffff\t{}\t-\n", b"m\tffffffffffff\t[]\t-\n", b'm\tffffffffffff\t{"chain":1}\t-\n']
)
def test_an_invalid_line_is_kept_as_evidence_and_blocks_no_other_chain(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, line: bytes
) -> None:
    with kit(tmp_path) as made:
        made.folder.create()
        odd = made.folder.segment_path("0" * 32, 0)
        odd.write_bytes(line)
        chain = leave(made.folder, 3)
        made.mover().adopt()
        assert sequences(made, chain) == [0, 1, 2]
        assert [path.name for path in made.folder.path.iterdir()] == [odd.name + ".evidence"]
    assert f"{odd} is damaged at byte 0" in caplog.text


def test_a_chain_of_another_user_blocks_no_other_chain(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Like after `sudo mita-otel audit verify` in the service's folder."""
    real = SpoolLock.take

    def take(path: Path) -> SpoolLock | None:
        if path.name.startswith("0000"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(SpoolLock, "take", staticmethod(take))
    with kit(tmp_path) as made:
        made.folder.create()
        others = made.folder.segment_path("0" * 32, 0)
        others.write_bytes(b"unreadable\n")
        chain = leave(made.folder, 3)
        for _ in range(2):
            made.mover().adopt()
        assert sequences(made, chain) == [0, 1, 2]
        assert others.exists()
    messages = [
        one.getMessage()
        for one in caplog.records
        if str(others) in one.getMessage() or "0000" in one.getMessage()
    ]
    assert messages and all("Permission denied" in one for one in messages)


def test_a_conflicting_entry_is_kept_as_evidence_and_not_overwritten(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with kit(tmp_path) as made:
        chain = leave(made.folder, 5)
        other = made.spooled()[2]
        made.ledger.add([type(other)(other.body, "0" * 64, other.key_id, None)])
        made.mover().adopt()
        assert "another entry at" in caplog.text
        assert [path.name.endswith(".evidence") for path in made.folder.path.iterdir()] == [True]
        assert sequences(made, chain) == [2]


def test_a_writer_with_a_conflicting_entry_starts_another_chain(tmp_path: Path) -> None:
    with kit(tmp_path, policy=changed(audit__mover__delay_ms=3_600_000.0)) as made:
        receipt = made.trail.record(AuditEvent(event_type="first"))
        assert receipt is not None
        taken = made.spooled()[1]
        made.ledger.add([type(taken)(taken.body, "0" * 64, taken.key_id, None)])
        assert not made.trail.flush(60)
        second = made.trail.record(AuditEvent(event_type="second"))
        assert second is not None
        assert second.chain != receipt.chain
        assert made.trail.flush(60)
        assert [kind for (kind,) in made.rows("event_type", "event_type = 'second'")] == ["second"]
        [evidence] = [path for path in made.folder.path.iterdir() if path.name.endswith(".evidence")]
        assert b'"first"' in evidence.read_bytes()


def test_entries_lost_by_the_database_are_inserted_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A database that confirms unflushed transactions loses them in a power failure."""
    policy = changed(audit__mover__delay_ms=3_600_000.0, audit__spool__segment_kilobytes=4)
    with kit(tmp_path, policy=policy) as made:
        for _ in range(4):
            made.trail.record(AuditEvent(event_type="test"))
        assert made.trail.flush(60)
        assert len(made.spooled()) == 6
        with made.database.write() as connection:
            connection.exec_driver_sql("DROP TRIGGER mita_audit_entries_delete")
            connection.exec_driver_sql("DELETE FROM mita_audit_entries WHERE sequence > 3")
        for _ in range(10):
            made.trail.record(AuditEvent(event_type="test"))
        assert made.trail.flush(60)
        assert [sequence for (sequence,) in made.rows("sequence")] == list(range(16))
        assert "2 entries of the audit trail vanished" in caplog.text


DISCARD = {
    "sqlite": [
        "CREATE TRIGGER discard BEFORE INSERT ON mita_audit_entries WHEN NEW.event_type = 'test' "
        "BEGIN SELECT RAISE(IGNORE); END"
    ],
    "postgresql": [
        "CREATE FUNCTION discard() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN IF NEW.event_type = 'test' THEN RETURN NULL; END IF; RETURN NEW; END $$",
        "CREATE TRIGGER discard BEFORE INSERT ON mita_audit_entries FOR EACH ROW EXECUTE FUNCTION discard()",
    ],
    "rule": [
        "CREATE RULE discard AS ON INSERT TO mita_audit_entries WHERE NEW.event_type = 'test' DO INSTEAD NOTHING"
    ],
}


def execute(made: Kit, *statements: str) -> None:
    with made.database.write() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


@pytest.mark.parametrize("how", ["trigger", "rule"])
def test_entries_whose_insert_is_discarded_stay_in_the_spool(
    tmp_path: Path, database_url: str, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    with kit(tmp_path, url=database_url) as made:
        if made.database.is_sqlite and how == "rule":
            pytest.skip("SQLite has no rules")
        kind = "sqlite" if made.database.is_sqlite else "rule" if how == "rule" else "postgresql"
        made.ledger.add([])  # creates the tables
        execute(made, *DISCARD[kind])
        chain = leave(made.folder, 23, segments=3)
        for _ in range(3):
            with pytest.raises(
                EntriesDiscardedError, match=r"does not have 23 of 23|does not have \d+ of \d+"
            ):
                made.mover().adopt()
            assert len(made.spooled()) == 23
            assert sequences(made, chain) == []
        target = "" if made.database.is_sqlite else " ON mita_audit_entries"
        execute(made, f"DROP {'RULE' if kind == 'rule' else 'TRIGGER'} discard{target}")
        made.mover().adopt()
        assert sequences(made, chain) == list(range(23))
        assert made.folder.segments() == []


def test_a_flush_reports_that_inserts_are_discarded(tmp_path: Path) -> None:
    with kit(tmp_path, policy=changed(audit__mover__delay_ms=3_600_000.0)) as made:
        made.ledger.add([])
        execute(made, *DISCARD["sqlite"])
        for _ in range(8):
            made.trail.record(AuditEvent(event_type="test"))
        assert not made.trail.flush(60)
        health = made.trail.health()
        assert "the database confirmed the insert of audit entries but does not have 8 of 10" in health.error
        assert len(made.spooled()) == 10
        execute(made, "DROP TRIGGER discard")
        assert made.trail.flush(60)
        assert len(made.rows()) == 10


def test_the_segment_is_kept_if_reinserted_entries_are_lost_again(tmp_path: Path) -> None:
    """Entries are read back again after they were reinserted."""
    with kit(tmp_path) as made:
        chain = leave(made.folder, 5)
        made.mover().move(chain.id, ChainProgress(), (0, 2**40))  # the writer still lives: nothing is deleted
        execute(
            made,
            "DROP TRIGGER mita_audit_entries_delete",
            "DELETE FROM mita_audit_entries",
            *DISCARD["sqlite"],
        )
        for _ in range(2):
            with pytest.raises(EntriesDiscardedError):
                made.mover().adopt()
        assert len(made.spooled()) == 5


@pytest.mark.parametrize("change", ["body = body || ' '", "personal = NULL, personal_key = NULL"])
def test_an_entry_changed_by_the_database_is_kept_as_evidence(tmp_path: Path, change: str) -> None:
    with kit(tmp_path, policy=changed(audit__mover__delay_ms=3_600_000.0)) as made:
        made.ledger.add([])
        execute(
            made,
            "DROP TRIGGER mita_audit_entries_update",
            "CREATE TRIGGER change AFTER INSERT ON mita_audit_entries BEGIN "
            f"UPDATE mita_audit_entries SET {change} WHERE chain = NEW.chain AND sequence = NEW.sequence; END",
        )
        made.trail.record(AuditEvent(event_type="test", user_id="u1"))
        assert not made.trail.flush(60)
        [evidence] = [path for path in made.folder.path.iterdir() if path.name.endswith(".evidence")]
        assert b'"test"' in evidence.read_bytes()


def test_discarded_entries_of_one_chain_do_not_block_other_chains(tmp_path: Path) -> None:
    with kit(tmp_path) as made:
        first, second = leave(made.folder, 3), leave(made.folder, 3)
        made.ledger.add([])
        execute(
            made,
            f"CREATE TRIGGER discard BEFORE INSERT ON mita_audit_entries WHEN NEW.chain = '{first.id}' "
            "BEGIN SELECT RAISE(IGNORE); END",
        )
        with pytest.raises(EntriesDiscardedError):
            made.mover().adopt()
        assert (sequences(made, first), sequences(made, second)) == ([], [0, 1, 2])
        assert [segment.owner for segment in made.folder.segments()] == [first.id]


class BrokenAnchors:
    def note(self, anchor: object) -> None:
        raise OSError(28, "No space left on device")


def test_a_segment_is_kept_until_its_anchor_is_written(tmp_path: Path) -> None:
    with kit(tmp_path) as made:
        chain = leave(made.folder, 3)
        options = {"max_batch": 10, "anchor_every_s": 1.0}
        with pytest.raises(OSError, match="No space left"):
            Mover(made.folder, made.ledger, KEYS, [BrokenAnchors()], **options).adopt()  # type: ignore[arg-type]
        assert len(made.folder.segments()) == 1
        Mover(made.folder, made.ledger, KEYS, [AnchorFile(made.anchor_path)], **options).adopt()  # type: ignore[arg-type]
        assert made.folder.segments() == []
        assert sequences(made, chain) == [0, 1, 2]


def test_an_unreachable_database_loses_nothing_and_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    policy = changed(audit__mover__retry_first_s=0.01, audit__mover__retry_max_s=0.02)
    (tmp_path / "missing").write_text("a file, and no folder")
    with kit(tmp_path, url=f"sqlite:///{tmp_path}/missing/mita.db", policy=policy) as made:
        made.trail.record(AuditEvent(event_type="test"))
        for _ in range(5):
            assert not made.trail.flush(60)
        health = made.trail.health()
        assert health.ok
        assert health.waiting_bytes > 0
        assert health.seconds_failing > 0
        assert "does not answer" in health.error
        assert len([record for record in caplog.records if "wait in the spool" in record.message]) == 1
        assert len(made.spooled()) == 3
        (tmp_path / "missing").unlink()
        (tmp_path / "missing").mkdir()
        assert made.trail.flush(60)
        assert len(made.rows()) == 3
        assert made.trail.health().error == ""


def test_too_many_spooled_entries_are_reported_in_health(tmp_path: Path) -> None:
    policy = changed(audit__spool__warn_megabytes=1, audit__mover__delay_ms=3_600_000.0)
    with kit(tmp_path, policy=policy) as made:
        made.trail.record(AuditEvent(event_type="test"))
        assert not made.trail.health().waiting_too_much
        others = made.folder.segment_path("0" * 32, 0)
        others.write_bytes(b"x" * 1_100_000)
        assert made.trail.health().waiting_too_much
        others.unlink()


def test_statements_of_the_store_are_never_traced(tmp_path: Path, patches: Patches) -> None:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    from mita_otel.instrumentation.sqlalchemy import SQLAlchemyInstrumentation

    memory = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    instrumentation = SQLAlchemyInstrumentation(
        default_policy().instrumentation,
        patches,
        provider.get_tracer("mita_otel.instrumentation.sqlalchemy"),
    )
    with kit(tmp_path) as made:
        instrumentation.instrument(made.database.engine)
        made.trail.record(AuditEvent(event_type="test"))
        assert made.trail.flush(60)
        made.rows()
        assert memory.get_finished_spans() == ()
        with made.database.engine.connect() as connection:  # shows that the instrumentation works
            connection.exec_driver_sql("SELECT 1")
        assert memory.get_finished_spans() != ()
