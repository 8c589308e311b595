"""Builds the audit trail from the policy and the environment."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mita_otel import environment_variables as variables
from mita_otel.audit.anchors import AnchorFile, AnchorPost, AnchorSink
from mita_otel.audit.canonical import AuditKeys
from mita_otel.audit.committer import AuditReceipt
from mita_otel.audit.draft import Draft, Origin
from mita_otel.audit.errors import AuditError
from mita_otel.audit.log_record import emit_entry
from mita_otel.audit.mover import Mover
from mita_otel.audit.timestamps import AnchorTimestamps
from mita_otel.audit.trail import AuditTrail
from mita_otel.errors import ConfigurationError
from mita_otel.policy import Policy
from mita_otel.processors.queues.stage import Stage, seconds_left
from mita_otel.redaction import Redactor
from mita_otel.spool import SpoolFolder
from mita_otel.store import open_database
from mita_otel.store.errors import INSTALL, StoreError

if TYPE_CHECKING:
    from mita_otel.audit.reader import AuditReader
    from mita_otel.store.database import Database

_logger = logging.getLogger("mita_otel.audit")

OnRecorded = Callable[[Draft, AuditReceipt], None]
"""Receives an entry, redacted, and its position in the chain."""


class AuditRuntime(Stage):
    """The audit trail of this process with its reader and mover. Opens the database on first use.

    Args:
        policy: The policy.
        redactor: Redacts entries before they are written.
        environment: The environment's name.
        service: The service's name.
        env: The environment variables.
        on_recorded: Called with each entry that was recorded. None: it becomes a log record, if the policy says so.
        move_on_demand: Whether entries stay on the disk until something reads the database.
    """

    def __init__(
        self,
        policy: Policy,
        redactor: Redactor,
        *,
        environment: str,
        service: str,
        env: Mapping[str, str],
        on_recorded: OnRecorded | None = None,
        move_on_demand: bool = False,
    ) -> None:
        self.policy = policy
        """The policy."""
        self._env = env
        self.keys = _keys(env)
        self.folder = SpoolFolder(spool_path(policy, env))
        self._reader: AuditReader | None = None
        self._database: Database | None = None
        self.trail = AuditTrail(
            policy.audit,
            redactor,
            self.keys,
            origin=partial(_origin, service, environment),
            folder=self.folder,
            open_mover=self.mover,
            opening={"policy_sha256": policy.digest(), "environment": environment},
            on_recorded=on_recorded or (emit_entry if policy.audit.log_records else None),
            move_on_demand=move_on_demand,
        )

    def database(self) -> Database:
        """Return the store.

        Raises:
            StoreError: Its extra, or the database's driver, is not installed.
        """
        if self._database is None:
            self._database = open_database(self.policy.store, self._env)
        return self._database

    def mover(self) -> Mover:
        """Return a mover, which moves entries to the database.

        Raises:
            StoreError: The store cannot be used.
        """
        database = self.database()
        try:
            from mita_otel.audit.ledger import Ledger
        except ImportError as error:
            raise StoreError(f"the store needs {error.name}; install it with: {INSTALL}") from error
        return Mover(
            self.folder,
            Ledger(database, self.keys, migrate=self.policy.store.migrate),
            self.keys,
            self.anchor_sinks(),
            max_batch=self.policy.audit.mover.max_batch,
            anchor_every_s=self.policy.audit.anchors.every_s,
        )

    def reader(self) -> AuditReader:
        """Return the reader of the trail."""
        if self._reader is None:
            self.database()
            from mita_otel.audit.reader import AuditReader

            self._reader = AuditReader(self.database, self.trail, migrate=self.policy.store.migrate)
        return self._reader

    def drain(self) -> None:
        """End the chain with an entry that says so. Later entries begin another one."""
        self.trail.end()

    def flush(self, deadline_s: float) -> bool:
        """Bring the entries to the database. Those that are late stay in the spool."""
        return self.trail.flush(seconds_left(deadline_s)) if self.trail.started else True

    def close(self) -> None:
        """End the chain and close the database. Entries that come later begin another chain."""
        self.trail.close(self.policy.lifecycle.shutdown_timeout_s)
        if self._database is not None:
            self._database.close()

    def anchor_sinks(self) -> list[AnchorSink]:
        """Return the sinks that keep anchors."""
        anchors = self.policy.audit.anchors
        sinks: list[AnchorSink] = [AnchorFile(anchor_path(self.policy, self._env))]
        if anchors.url:
            sinks.append(AnchorPost(anchors.url, anchors.timeout_s))
        if anchors.timestamp_url:
            path = Path(anchors.timestamps).absolute()
            sinks.append(AnchorTimestamps(anchors.timestamp_url, path, anchors.timeout_s))
        return sinks


def spool_path(policy: Policy, env: Mapping[str, str]) -> Path:
    """Return the folder of the spool: `MITA_OTEL_AUDIT_SPOOL`, else `audit.spool.folder`."""
    return Path(env.get(variables.AUDIT_SPOOL, "").strip() or policy.audit.spool.folder).absolute()


def anchor_path(policy: Policy, env: Mapping[str, str]) -> Path:
    """Return the file of the anchors: `MITA_OTEL_AUDIT_ANCHORS`, else `audit.anchors.path`."""
    return Path(env.get(variables.AUDIT_ANCHORS, "").strip() or policy.audit.anchors.path).absolute()


def authority_path(policy: Policy) -> Path | None:
    """Return the certificates of the time-stamping authority, or None if the policy names none.

    Raises:
        AuditError: The file does not exist.
    """
    name = policy.audit.anchors.timestamp_authority
    if not name:
        return None
    path = Path(name).absolute()
    if not path.is_file():
        raise AuditError(f"audit.anchors.timestamp_authority: {path} is not a file; correct the path")
    return path


def _keys(env: Mapping[str, str]) -> AuditKeys:
    try:
        return AuditKeys.from_environment(env)
    except ConfigurationError as error:
        _logger.error("%s. Until then audit entries are chained without a signature key", error)
        return AuditKeys(None)


def _origin(service: str, environment: str) -> Origin:
    return Origin(service, socket.gethostname(), environment, os.getpid())
