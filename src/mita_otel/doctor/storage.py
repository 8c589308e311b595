"""Checks of storage: the store, the audit spool, and the folders of both."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mita_otel import environment_variables as variables
from mita_otel.audit.canonical import AuditKeys
from mita_otel.audit.runtime import spool_path
from mita_otel.errors import ConfigurationError
from mita_otel.policy import Policy, default_policy
from mita_otel.sdk.health.check import Check, Status
from mita_otel.store import StoreError, open_database

if TYPE_CHECKING:
    from mita_otel.store.database import Database

_TIMEOUTS: Final = ("connect_timeout_s", "lock_timeout_s")
_CREATE_KEY: Final = "create one with: python -c 'import secrets; print(secrets.token_urlsafe(32))'"


def store_check(policy: Policy, env: Mapping[str, str]) -> Check:
    """Check that the store answers, is writable, and has up-to-date tables. Nothing is changed."""
    named = env.get(variables.DATABASE_URL, "").strip()
    if not named and policy.store.url == default_policy().store.url:
        message = f"{variables.DATABASE_URL} is not set: workers share no data, and the audit trail is in {policy.store.url}"
        return Check("store", Status.PASS, message)
    # Several steps must end within the time limit of the check.
    shortest_s = policy.doctor.timeout_s / 4
    limits = {name: min(getattr(policy.store, name), shortest_s) for name in _TIMEOUTS}
    try:
        database = open_database(policy.store.replace(**limits), env)
        try:
            return _database_check(database)
        finally:
            database.close()
    except ConfigurationError as error:
        return Check("store", Status.FAIL, _with_fix(str(error)))


def _database_check(database: Database) -> Check:
    from mita_otel.store.migrate import REVISIONS, current_revision, require

    path = database.url.database if database.is_sqlite else None
    if path and path != ":memory:":
        fault = _sqlite_fault(Path(path))
        if fault:
            return Check("store", Status.FAIL, fault)
        if not Path(path).exists():
            return Check("store", Status.PASS, f"{path} is created at first use")
    found = current_revision(database)
    with database.write() as connection:  # another process may hold its lock
        connection.rollback()
    observed = {"revision": found}
    if found is None:
        return Check("store", Status.WARN, "no tables yet; run: mita-otel store migrate", observed)
    try:
        require(database, migrate=False)
    except StoreError as error:
        return Check("store", Status.WARN if found in REVISIONS else Status.FAIL, str(error), observed)
    return Check("store", Status.PASS, f"writable, tables of revision {found}", observed)


def _with_fix(message: str) -> str:
    if "is locked" in message:
        cause = message.partition(";")[0]
        return f"{cause}: another process holds the lock; find it with fuser -v FILE, and stop it if it hangs"
    return message if variables.DATABASE_URL in message else f"{message}; check {variables.DATABASE_URL}"


def _sqlite_fault(path: Path) -> str:
    """Return the problem with the location of SQLite's file, or "". Its journal needs a writable folder as well."""
    folder = path.absolute().parent
    if not folder.is_dir():
        return (
            f"the folder {folder} of the store does not exist; create it, or correct {variables.DATABASE_URL}"
        )
    fault = unusable(folder)
    if fault:
        return f"{fault}: the store needs it; give the service's user write access, or set another folder in {variables.DATABASE_URL}"
    if path.is_dir():
        return f"{path} is a folder, but the store needs a file; correct {variables.DATABASE_URL}"
    if path.exists() and not os.access(path, os.R_OK | os.W_OK):
        return f"{path} is not writable; give the service's user write access, or set another file in {variables.DATABASE_URL}"
    return ""


def spool_check(policy: Policy, env: Mapping[str, str]) -> Check:
    """Check that audit entries can be stored durably and are signed. No file remains."""
    if policy.audit.start == "off":
        return Check("audit", Status.PASS, "the audit trail is off (audit.start)")
    folder = spool_path(policy, env)
    fault = unusable(folder)
    if fault:
        message = f"{fault}: audit entries cannot be stored; free space or grant write access there, or set {variables.AUDIT_SPOOL} to a writable folder on a local disk"
        return Check("audit", Status.FAIL, message)
    if message := _too_open(folder):
        return Check("audit", Status.WARN, message)
    try:
        AuditKeys.from_environment(env)
    except ConfigurationError as error:
        return Check("audit", Status.FAIL, f"{error}. Until then the chain is unsigned")
    left = megabytes_left(folder)
    observed = {"megabytes_left": round(left)}
    if message := low_space(folder, left, policy.doctor.min_free_megabytes, refused="audit entries"):
        return Check("audit", Status.WARN, message, observed)
    if not env.get(variables.AUDIT_KEY, "").strip():
        message = f"the audit chain is unsigned: anyone with write access to the database can forge it; set {variables.AUDIT_KEY}; {_CREATE_KEY}"
        return Check("audit", Status.WARN, message, observed)
    return Check("audit", Status.PASS, f"spool in {folder}", observed)


def _too_open(folder: Path) -> str:
    """Return a warning if others can read or change entries in the spool, or ""."""
    if os.name != "posix" or not folder.is_dir():
        return ""
    for path in (folder, *sorted(folder.iterdir())):
        with contextlib.suppress(FileNotFoundError):  # it was moved in the meantime
            mode = stat.S_IMODE(path.stat().st_mode)
            if mode & 0o077:
                what = "change" if mode & 0o022 else "read"
                return (
                    f"{path} has the mode {mode:03o}: other users can {what} audit entries that wait there; run: chmod -R "
                    f"go= {shlex.quote(str(folder))}"
                )
    return ""


def file_exporter_check(policy: Policy, env: Mapping[str, str]) -> Check:
    """Check that the file exporter can write its file. No file remains."""
    path = Path(env.get(variables.FILE, "").strip() or policy.export.file.path).absolute()
    name, fix = "exporter:file", f"set {variables.FILE} to a writable path"
    fault = unusable(path.parent)
    if fault:
        return Check(name, Status.FAIL, f"{fault}: spans cannot be written to {path}; {fix}")
    if path.is_dir():
        return Check(name, Status.FAIL, f"{path} is a folder; {fix}")
    if path.exists() and not os.access(path, os.W_OK):
        return Check(
            name, Status.FAIL, f"{path} is not writable; give the service's user write access, or {fix}"
        )
    if not path.parent.exists():
        message = f"the folder {path.parent} does not exist; it is created with the first span. Create it, or correct {variables.FILE}"
        return Check(name, Status.WARN, message)
    return Check(name, Status.PASS, str(path))


# --- folders -----------------------------------------------------------------------------------------
def unusable(folder: Path) -> str:
    """Return why no file can be written to a folder, or "". No file remains.

    For a missing folder, the nearest existing parent is checked.
    """
    existing = _existing(folder)
    if not existing.is_dir():
        return f"{existing} is not a folder"
    try:
        # Permissions are not enough: a disk may be full or mounted read-only.
        with tempfile.TemporaryFile(dir=existing) as file:
            file.write(b"mita-otel doctor")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return f"{existing} is not writable ({error.strerror or error})"
    return ""


def megabytes_left(folder: Path) -> float:
    """Return the free space on the disk of a folder, in megabytes."""
    return shutil.disk_usage(_existing(folder)).free / 1e6


def low_space(folder: Path, left: float, least: float, *, refused: str) -> str:
    """Return a warning if a disk is nearly full, or "".

    Args:
        folder: A folder on the disk.
        left: Free megabytes.
        least: Required megabytes: `doctor.min_free_megabytes`.
        refused: The data that is refused if the disk is full.
    """
    if left >= least:
        return ""
    return (
        f"the disk of {folder} has {left:.0f} MB left, less than doctor.min_free_megabytes; free space before {refused} "
        "are refused"
    )


def _existing(folder: Path) -> Path:
    existing = folder.absolute()
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    return existing
