"""The store and the audit spool are usable, or the check says why not."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from doctor.kit import Examined, failing, policy_with, warning
from mita_otel.doctor import storage
from mita_otel.doctor.storage import megabytes_left, spool_check, store_check, unusable
from mita_otel.policy import default_policy
from mita_otel.sdk.health.check import Check, Status
from mita_otel.store import open_database
from mita_otel.store.migrate import VERSION_TABLE

DATABASE = "MITA_OTEL_DATABASE_URL"
SPOOL, KEY = "MITA_OTEL_AUDIT_SPOOL", "MITA_OTEL_AUDIT_KEY"

unprivileged = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere"
)
nowhere = pytest.mark.skipif(not Path("/proc").is_dir(), reason="/proc, an unwritable folder, does not exist")


def store(url: str) -> Check:
    return store_check(policy_with(timeout_s=2), {DATABASE: url})


@pytest.fixture
def sqlite(tmp_path: Path) -> str:
    """The URL of a store with tables."""
    from mita_otel.store.migrate import upgrade

    url = f"sqlite:///{tmp_path}/mita.db"
    database = open_database(default_policy().store, {DATABASE: url})
    upgrade(database)
    database.close()
    return url


@pytest.fixture
def locked(tmp_path: Path, sqlite: str) -> Iterator[str]:
    """The URL of a store that another connection has locked."""
    holder = sqlite3.connect(tmp_path / "mita.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    yield sqlite
    holder.close()


# --- the store ---------------------------------------------------------------------------------------
def test_a_usable_store_passes(sqlite: str) -> None:
    assert store(sqlite) == Check(
        "store",
        Status.PASS,
        "writable, tables of revision 0003_alerts",
        {"revision": "0003_alerts"},
    )


def test_an_unset_store_passes() -> None:
    found = store_check(policy_with(), {})
    assert (found.status, found.said) == (
        Status.PASS,
        f"{DATABASE} is not set: workers share no data, and the audit trail is in sqlite:///mita-otel.db",
    )


def test_a_store_named_in_the_policy_is_checked(tmp_path: Path) -> None:
    policy = policy_with()
    named = policy.store.replace(url=f"sqlite:///{tmp_path}/absent/mita.db")
    found = store_check(policy.replace(store=named), {})
    assert found.status is Status.FAIL


def test_a_locked_store_fails(locked: str) -> None:
    found = store(locked)
    assert found.status is Status.FAIL
    assert found.said.endswith(
        ": database is locked: another process holds the lock; find it with fuser -v FILE, and stop it if it hangs"
    )


def test_a_store_without_tables_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "mita.db").touch()
    found = store(f"sqlite:///{tmp_path}/mita.db")
    assert (found.status, found.said) == (Status.WARN, "no tables yet; run: mita-otel store migrate")


@pytest.mark.parametrize(
    ("revision", "status", "said"),
    [
        ("0001_audit", Status.WARN, "run: mita-otel store migrate"),
        ("9999_later", Status.FAIL, "upgrade mita-otel here"),
    ],
)
def test_an_older_store_is_a_warning_and_a_newer_one_fails(
    tmp_path: Path, sqlite: str, revision: str, status: Status, said: str
) -> None:
    connection = sqlite3.connect(tmp_path / "mita.db")
    connection.execute(f"UPDATE {VERSION_TABLE} SET version_num = ?", (revision,))
    connection.commit()
    connection.close()
    found = store(sqlite)
    assert found.status is status
    assert revision in found.said and found.said.endswith(said)


def test_an_unreachable_store_fails_without_showing_its_password() -> None:
    found = store("postgresql://mita:hunter2hunter2@127.0.0.1:1/bank")
    assert found.status is Status.FAIL
    assert "postgresql+psycopg://mita:***@127.0.0.1:1/bank does not answer" in found.said
    assert f"check {DATABASE}" in found.said and "hunter2" not in found.said


@pytest.mark.parametrize("url", ["mita.db", "mysql://u:hunter2hunter2@h/d", "postgresql+nothing://"])
def test_an_invalid_store_url_fails_without_showing_its_password(url: str) -> None:
    found = store(url)
    assert found.status is Status.FAIL
    assert DATABASE in found.said and "hunter2" not in found.said


def test_a_missing_folder_of_the_store_fails(tmp_path: Path) -> None:
    said = f"the folder {tmp_path}/absent of the store does not exist; create it, or correct {DATABASE}"
    assert store(f"sqlite:///{tmp_path}/absent/mita.db") == Check("store", Status.FAIL, said)


@nowhere
def test_an_unwritable_folder_of_the_store_fails() -> None:
    found = store("sqlite:////proc/mita.db")
    assert found.status is Status.FAIL
    assert found.said.startswith("/proc is not writable (")
    assert "): the store needs it; give the service's user write access" in found.said


@unprivileged
def test_an_unwritable_store_file_fails(tmp_path: Path, sqlite: str) -> None:
    (tmp_path / "mita.db").chmod(0o400)
    assert store(sqlite).said.startswith(
        f"{tmp_path}/mita.db may not be written to; give the service's user the right"
    )


def test_a_folder_instead_of_the_store_file_fails(tmp_path: Path) -> None:
    said = f"{tmp_path} is a folder, but the store needs a file; correct {DATABASE}"
    assert store(f"sqlite:///{tmp_path}") == Check("store", Status.FAIL, said)


def test_the_check_of_a_store_creates_no_file(tmp_path: Path) -> None:
    found = store(f"sqlite:///{tmp_path}/mita.db")
    assert (found.status, found.said) == (
        Status.PASS,
        f"{tmp_path}/mita.db is created at first use",
    )
    assert list(tmp_path.iterdir()) == []


# --- the spool ---------------------------------------------------------------------------------------
def spool(folder: Path | str, key: str = "k" * 32, **doctor: float) -> Check:
    return spool_check(policy_with(**doctor), {SPOOL: str(folder), KEY: key})


def test_the_check_of_a_usable_spool_creates_no_file(tmp_path: Path) -> None:
    found = spool(tmp_path / "new" / "spool")
    assert (found.status, found.said) == (Status.PASS, f"spool in {tmp_path}/new/spool")
    assert list(tmp_path.iterdir()) == []


def test_a_file_instead_of_the_spool_folder_fails(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("")
    found = spool(tmp_path / "spool")
    assert (found.status, found.said) == (
        Status.FAIL,
        f"{tmp_path}/spool is not a folder: audit entries cannot be stored; free space or grant write access there, or set {SPOOL} to a "
        "writable folder on a local disk",
    )


@nowhere
def test_an_unwritable_spool_fails() -> None:
    found = spool("/proc/spool")
    assert found.status is Status.FAIL
    assert found.said.startswith("/proc is not writable (")


@unprivileged
def test_a_spool_in_a_read_only_folder_fails(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        assert "is not writable (Permission denied)" in spool(tmp_path / "spool").said
    finally:
        tmp_path.chmod(0o700)


def test_a_full_disk_is_found_by_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert unusable(tmp_path) == f"{tmp_path} is not writable (No space left on device)"
    assert list(tmp_path.iterdir()) == []


def test_a_nearly_full_disk_is_a_warning(tmp_path: Path) -> None:
    left = megabytes_left(tmp_path / "absent")
    assert left > 0
    found = spool(tmp_path, min_free_megabytes=left * 1000)
    assert found.status is Status.WARN
    assert found.said.startswith(f"the disk of {tmp_path} has ")
    assert found.said.endswith(
        " MB left, less than doctor.min_free_megabytes; free space before audit entries are refused"
    )


def test_an_unsigned_chain_is_a_warning(tmp_path: Path) -> None:
    found = spool(tmp_path, key="")
    assert found.status is Status.WARN
    assert f"set {KEY}; create one with: python -c 'import secrets; print(" in found.said


def test_a_short_key_fails(tmp_path: Path) -> None:
    found = spool(tmp_path, key="hunter2")
    assert found.status is Status.FAIL
    assert found.said.startswith(f"{KEY} has a key of 7 characters; it needs at least 16. Make one with: ")
    assert "hunter2" not in found.said


def test_a_disabled_trail_passes(tmp_path: Path) -> None:
    policy = policy_with()
    off = policy.replace(audit=policy.audit.replace(start="off"))
    assert spool_check(off, {SPOOL: "/proc"}) == Check(
        "audit", Status.PASS, "the audit trail is off (audit.start)"
    )


def test_the_timeout_of_the_check_exceeds_the_timeouts_of_the_store() -> None:
    """Otherwise the check would end without naming the cause of the delay."""
    policy = default_policy()
    shortest_s = policy.doctor.timeout_s / 4
    assert {name for name in storage._TIMEOUTS if getattr(policy.store, name) > shortest_s}


@pytest.mark.skipif(os.name != "posix", reason="no modes of files")
def test_a_spool_that_other_users_can_access_is_a_warning(examined: Examined, tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    spool.mkdir(mode=0o700)
    sound = {"MITA_OTEL_AUDIT_SPOOL": str(spool), "MITA_OTEL_AUDIT_KEY": "k" * 32}
    assert "audit" not in warning(examined(**sound))
    for path, mode, what in (
        (spool, 0o755, "read"),
        (spool, 0o720, "change"),
        (spool / "segment", 0o640, "read"),
    ):
        spool.chmod(0o700)
        (spool / "segment").touch(mode=0o600)
        path.chmod(mode)
        said = warning(examined())["audit"]
        assert said == (
            f"{path} has the mode {mode:03o}: other users can {what} audit entries that wait there; run: chmod -R go= {spool}"
        )


def test_the_path_of_the_file_exporter_is_checked(examined: Examined, tmp_path: Path) -> None:
    env = {"OTEL_TRACES_EXPORTER": "file"}
    path = tmp_path / "traces.jsonl"
    assert examined(**env, MITA_OTEL_FILE=str(path))["exporter:file"] == Check(
        "exporter:file", Status.PASS, str(path)
    )
    missing = tmp_path / "missing" / "traces.jsonl"
    assert warning(examined(MITA_OTEL_FILE=str(missing)))["exporter:file"].startswith(
        f"the folder {missing.parent} does not exist; it is created with the first span."
    )
    path.touch()
    for wrong, said in ((path / "deeper.jsonl", "is not a folder"), (tmp_path, "is a folder")):
        assert said in failing(examined(MITA_OTEL_FILE=str(wrong)))["exporter:file"]
    assert failing(examined(MITA_OTEL_FILE=str(wrong)))["exporter:file"].endswith(
        "set MITA_OTEL_FILE to a writable path"
    )
