"""Where things are kept and sent: the store, the audit spool, the channels of alerts."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from mita_otel import environment_variables as variables
from mita_otel.alerts.ways import Ways
from mita_otel.audit.starting import spool_path
from mita_otel.errors import ConfigurationError
from mita_otel.health.check import Check, Status
from mita_otel.policy import Policy
from mita_otel.store import open_database


def store_check(policy: Policy, env: Mapping[str, str]) -> Check:
    """Look whether the store answers, and its tables are up to date. Changes nothing."""
    if not env.get(variables.DATABASE_URL, "").strip():
        said = f"{variables.DATABASE_URL} is not set: nothing is shared between workers"
        return Check("store", Status.PASS, said)
    try:
        database = open_database(policy.store, env)
        try:
            from mita_otel.store.migrate import current_revision

            if database.is_sqlite and not _sqlite_is_there(database.url.database or ""):
                return Check("store", Status.PASS, "it will be made when it is first needed")
            found = current_revision(database)
        finally:
            database.close()
    except ConfigurationError as error:
        return Check("store", Status.FAIL, f"{error}; check {variables.DATABASE_URL}")
    if found is None:
        return Check("store", Status.WARN, "it has no tables yet; run: mita-otel store migrate")
    return Check("store", Status.PASS, f"it answers, tables of revision {found}")


def _sqlite_is_there(path: str) -> bool:
    folder = os.path.dirname(os.path.abspath(path)) if path else ""  # noqa: PTH100, PTH120
    if folder and not os.path.isdir(folder):  # noqa: PTH112
        raise ConfigurationError(f"there is no folder {folder} for the store's file; make it")
    return bool(path) and os.path.exists(path)  # noqa: PTH110


def spool_check(policy: Policy, env: Mapping[str, str]) -> Check:
    """Look whether audit entries could be made durable. Writes nothing."""
    if policy.audit.start == "off":
        return Check("audit", Status.PASS, "the audit trail is off (audit.start)")
    folder = spool_path(policy, env)
    mend = f"set {variables.AUDIT_SPOOL} to a folder on a local disk that the service may write to"
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        return Check("audit", Status.FAIL, f"{existing} is no folder, audit entries cannot be kept; {mend}")
    if not os.access(existing, os.W_OK | os.X_OK):
        return Check("audit", Status.FAIL, f"{existing} may not be written to; {mend}")
    if not env.get(variables.AUDIT_KEY, "").strip():
        return Check("audit", Status.WARN, f"the chain has no key: set {variables.AUDIT_KEY}")
    return Check("audit", Status.PASS, f"entries go to {folder}")


def channel_checks(policy: Policy, env: Mapping[str, str]) -> Iterator[Check]:
    """Look whether the channels of alerts can be used. Sends nothing."""
    if policy.alerts.start == "off":
        yield Check("alerts", Status.PASS, "nothing is watched (alerts.start)")
        return
    ways = Ways(policy.alerts, env)
    try:
        for name in ways.usable:
            try:
                ways.notifier(name)
            except ConfigurationError as error:
                yield Check(f"alerts:{name}", Status.FAIL, str(error))
        if not ways.usable:
            yield Check(
                "alerts", Status.WARN, "no channel has anywhere to go; see: mita-otel alerts validate"
            )
        else:
            yield Check("alerts", Status.PASS, f"{', '.join(ways.usable)}; try them: mita-otel test")
    finally:
        ways.close()
