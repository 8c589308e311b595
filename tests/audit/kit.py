"""An audit trail in a folder, on SQLite or another database, with access to its parts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from databases import sqlite_url
from mita_otel.audit.anchors import Anchor, AnchorFile, read_anchors
from mita_otel.audit.canonical import AuditKeys
from mita_otel.audit.chain import SealedEntry
from mita_otel.audit.draft import Origin
from mita_otel.audit.ledger import Ledger
from mita_otel.audit.mover import Mover
from mita_otel.audit.spool_reader import read_segment
from mita_otel.audit.trail import AuditTrail
from mita_otel.policy import Policy, default_policy
from mita_otel.policy.conversion import convert
from mita_otel.redaction import Redactor
from mita_otel.spool import SpoolFolder
from mita_otel.store.database import Database

KEY = "a key that only these tests know"


def changed(policy: Policy | None = None, /, **values: Any) -> Policy:
    """Return the default policy with values replaced: `audit__spool__commit="entry"`."""
    tree = (policy or default_policy()).to_dict()
    for name, value in values.items():
        *path, last = name.split("__")
        node = tree
        for part in path:
            node = node[part]
        node[last] = value
    return convert(Policy, tree)


class Kit:
    """A trail with its parts in one folder."""

    def __init__(
        self,
        folder: Path,
        *,
        url: str | None = None,
        policy: Policy | None = None,
        keys: AuditKeys | None = None,
        clock_ns: Callable[[], int] | None = None,
        environment: str = "test",
    ) -> None:
        self.policy = policy or default_policy()
        self.keys = keys or AuditKeys(KEY.encode())
        self.folder = SpoolFolder(folder / "spool")
        self.anchor_path = folder / "anchors.jsonl"
        self.url = url or sqlite_url(folder / "mita-otel.db")
        self.database = Database(self.url, self.policy.store)
        self.ledger = Ledger(self.database, self.keys, migrate=True)
        self.redactor = Redactor(self.policy.redaction)
        more: dict[str, Any] = {} if clock_ns is None else {"clock_ns": clock_ns}
        self.trail = AuditTrail(
            self.policy.audit,
            self.redactor,
            self.keys,
            origin=lambda: Origin("payments", "host-1", environment, os.getpid()),
            folder=self.folder,
            open_mover=self.mover,
            opening={"policy_sha256": "0" * 64},
            **more,
        )

    def mover(self) -> Mover:
        return Mover(
            self.folder,
            self.ledger,
            self.keys,
            [AnchorFile(self.anchor_path)],
            max_batch=self.policy.audit.mover.max_batch,
            anchor_every_s=self.policy.audit.anchors.every_s,
        )

    def spooled(self) -> list[SealedEntry]:
        """Return the spooled entries of all chains."""
        return [
            entry
            for segment in self.folder.segments()
            for _, entry in read_segment(segment.path, self.keys)
            if isinstance(entry, SealedEntry)
        ]

    def rows(self, columns: str = "*", where: str = "1 = 1") -> list[tuple[Any, ...]]:
        """Return rows of the database in the order of their chains."""
        sql = f"SELECT {columns} FROM mita_audit_entries WHERE {where} ORDER BY chain, sequence"
        with self.database.read() as connection:
            return [tuple(row) for row in connection.exec_driver_sql(sql)]

    def anchors(self) -> list[Anchor]:
        return list(read_anchors(self.anchor_path)) if self.anchor_path.exists() else []

    def close(self) -> None:
        self.trail.close(60)
        self.database.close()


@contextmanager
def kit(folder: Path, **options: Any) -> Iterator[Kit]:
    with closing(Kit(folder, **options)) as made:
        yield made
