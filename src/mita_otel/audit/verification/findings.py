"""What verification finds, one finding a fault, in words that say which entry and what it means."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class AuditFault(StrEnum):
    """What is wrong."""

    CHANGED = "changed"
    """What is signed was changed."""
    COLUMN = "column"
    """A column says something else than what is signed."""
    MISSING = "missing"
    """Entries were removed."""
    INSERTED = "inserted"
    """An entry is there that the chain does not lead to."""
    MOVED = "moved"
    """An entry stands in another's place."""
    PERSONAL = "personal"
    """The personal part was changed, removed without an erasure, or added."""
    ERASURE = "erasure"
    """An erasure is forged, or was changed."""
    TOMBSTONE = "tombstone"
    """A tombstone is forged, was changed, or does not fit its chain."""
    ANCHOR = "anchor"
    """An anchor contradicts the database, or is forged."""
    KEY = "key"
    """The key is not known, or a chain has none although there are keys."""
    HOLD = "hold"
    """A legal hold vanished, was changed, or was released without an entry."""
    CLOCK = "clock"
    """An entry is older than the one before it."""
    TRIGGER = "trigger"
    """What keeps the tables append-only is gone."""


@dataclass(frozen=True, slots=True)
class AuditFinding:
    """One fault."""

    fault: AuditFault
    chain: str
    sequence: int | None
    """Of the entry; None: of the whole chain, or of the database."""
    message: str

    def __str__(self) -> str:
        where = self.chain if self.sequence is None else f"{self.chain} {self.sequence}"
        return f"{self.fault}: {where}: {self.message}" if where else f"{self.fault}: {self.message}"


@dataclass(slots=True)
class VerificationResult:
    """What a verification came to."""

    entries: int = 0
    chains: int = 0
    purged: int = 0
    """Entries that signed tombstones stand for."""
    erased: int = 0
    """Entries whose person was erased."""
    anchors: int = 0
    """Anchors that were compared."""
    unkeyed_chains: int = 0
    """Chains without a key: a forger who can write to the database could have made them."""
    clock_steps: int = 0
    """Entries whose clock had stepped back; they say so themselves."""
    findings: list[AuditFinding] = field(default_factory=list)
    """The first faults; `faults` counts all of them."""
    faults: Counter[AuditFault] = field(default_factory=Counter)
    max_findings: int = 1000
    _unknown_keys: set[tuple[AuditFault, str, str]] = field(default_factory=set)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.faults

    def add(self, fault: AuditFault, chain: str, sequence: int | None, message: str) -> None:
        """Note a fault."""
        self.faults[fault] += 1
        if len(self.findings) < self.max_findings:
            self.findings.append(AuditFinding(fault, chain, sequence, message))

    def add_unknown_key(self, fault: AuditFault, chain: str, sequence: int | None, key_id: str) -> None:
        """Note that a key is not known: counted each time, told once a chain (of anchors and erasures: once)."""
        if (fault, chain, key_id) in self._unknown_keys:
            self.faults[fault] += 1
            return
        self._unknown_keys.add((fault, chain, key_id))
        self.add(fault, chain, sequence, f"the key {key_id} is not known; add it to MITA_OTEL_AUDIT_OLD_KEYS")

    def as_dict(self) -> Mapping[str, object]:
        """Return everything as plain values."""
        return {
            "ok": self.ok,
            "entries": self.entries,
            "chains": self.chains,
            "purged": self.purged,
            "erased": self.erased,
            "anchors": self.anchors,
            "unkeyed_chains": self.unkeyed_chains,
            "clock_steps": self.clock_steps,
            "faults": {str(fault): count for fault, count in sorted(self.faults.items())},
            "findings": [
                {
                    "fault": str(one.fault),
                    "chain": one.chain,
                    "sequence": one.sequence,
                    "message": one.message,
                }
                for one in self.findings
            ],
        }
