"""Where things are kept: the store, the audit spool."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mita_otel import environment_variables as variables
from mita_otel.audit.keys import AuditKeys
from mita_otel.audit.starting import spool_path
from mita_otel.doctor.folders import lacks_room, megabytes_left, unusable
from mita_otel.errors import ConfigurationError
from mita_otel.policy import Policy, default_policy
from mita_otel.sdk.health.check import Check, Status
from mita_otel.store import StoreError, open_database

if TYPE_CHECKING:
    from mita_otel.store.database import Database

_TIMEOUTS: Final = ("connect_timeout_s", "lock_timeout_s")
_MAKE_A_KEY: Final = "make one with: python -c 'import secrets; print(secrets.token_urlsafe(32))'"


def store_check(policy: Policy, env: Mapping[str, str]) -> Check:
    """Look whether the store answers, can be written to, and its tables are up to date. Changes nothing."""
    named = env.get(variables.DATABASE_URL, "").strip()
    if not named and policy.store.url == default_policy().store.url:
        said = f"{variables.DATABASE_URL} is not set: nothing is shared between workers, the trail is kept in {policy.store.url}"
        return Check("store", Status.PASS, said)
    # Several steps have to end before the whole look is given up.
    shortest_s = policy.doctor.timeout_s / 4
    limits = {name: min(getattr(policy.store, name), shortest_s) for name in _TIMEOUTS}
    try:
        database = open_database(policy.store.replace(**limits), env)
        try:
            return _looked_at(database)
        finally:
            database.close()
    except ConfigurationError as error:
        return Check("store", Status.FAIL, _mended(str(error)))


def _looked_at(database: Database) -> Check:
    from mita_otel.store.migrate import REVISIONS, current_revision, require

    path = database.url.database if database.is_sqlite else None
    if path and path != ":memory:":
        fault = _sqlite_fault(Path(path))
        if fault:
            return Check("store", Status.FAIL, fault)
        if not Path(path).exists():
            return Check("store", Status.PASS, f"{path} will be made when it is first needed")
    found = current_revision(database)
    with database.write() as connection:  # somebody may hold its lock for good
        connection.rollback()
    observed = {"revision": found}
    if found is None:
        return Check("store", Status.WARN, "it has no tables yet; run: mita-otel store migrate", observed)
    try:
        require(database, migrate=False)
    except StoreError as error:
        return Check("store", Status.WARN if found in REVISIONS else Status.FAIL, str(error), observed)
    return Check(
        "store", Status.PASS, f"it answers and can be written to, tables of revision {found}", observed
    )


def _mended(said: str) -> str:
    if "is locked" in said:
        cause = said.partition(";")[0]
        return f"{cause}: another process holds its lock; find it with fuser -v on the file, and end it if it hangs"
    return said if variables.DATABASE_URL in said else f"{said}; check {variables.DATABASE_URL}"


def _sqlite_fault(path: Path) -> str:
    """Return what is wrong with where SQLite's file is; empty: nothing. Its journal needs the folder, too."""
    folder = path.absolute().parent
    if not folder.is_dir():
        return (
            f"there is no folder {folder} for the store's file; make it, or correct {variables.DATABASE_URL}"
        )
    fault = unusable(folder)
    if fault:
        return f"{fault}: the store cannot be kept there; give the service's user the right to write, or name another folder in {variables.DATABASE_URL}"
    if path.is_dir():
        return f"{path} is a folder, the store needs a file; correct {variables.DATABASE_URL}"
    if path.exists() and not os.access(path, os.R_OK | os.W_OK):
        return f"{path} may not be written to; give the service's user the right, or name another file in {variables.DATABASE_URL}"
    return ""


def spool_check(policy: Policy, env: Mapping[str, str]) -> Check:
    """Look whether audit entries could be made durable, and are signed. Leaves nothing behind."""
    if policy.audit.start == "off":
        return Check("audit", Status.PASS, "the audit trail is off (audit.start)")
    folder = spool_path(policy, env)
    fault = unusable(folder)
    if fault:
        said = (
            f"{fault}: audit entries cannot be kept; make room there, or set {variables.AUDIT_SPOOL} to a folder on a "
            "local disk that the service may write to"
        )
        return Check("audit", Status.FAIL, said)
    try:
        AuditKeys.from_environment(env)
    except ConfigurationError as error:
        return Check("audit", Status.FAIL, f"{error}. Until then entries are chained without a key")
    left = megabytes_left(folder)
    observed = {"megabytes_left": round(left)}
    if said := lacks_room(folder, left, policy.doctor.min_free_megabytes, refused="entries"):
        return Check("audit", Status.WARN, said, observed)
    if not env.get(variables.AUDIT_KEY, "").strip():
        said = f"the chain has no key, who can write to the database can forge it: set {variables.AUDIT_KEY}; {_MAKE_A_KEY}"
        return Check("audit", Status.WARN, said, observed)
    return Check("audit", Status.PASS, f"entries go to {folder}", observed)
