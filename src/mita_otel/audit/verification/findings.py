"""The findings of a verification: which entry is affected, and what is wrong with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class AuditFault(StrEnum):
    """The kind of a finding."""

    CHANGED = "changed"
    """The signed body was changed."""
    COLUMN = "column"
    """A column differs from the signed body."""
    MISSING = "missing"
    """Entries were removed."""
    INSERTED = "inserted"
    """An entry does not follow the previous one."""
    MOVED = "moved"
    """An entry is at the position of another."""
    PERSONAL = "personal"
    """The personal part was changed, removed without an erasure, or added."""
    ERASURE = "erasure"
    """An erasure is forged or was changed."""
    TOMBSTONE = "tombstone"
    """A tombstone is forged, was changed, or does not fit into its chain."""
    ANCHOR = "anchor"
    """An anchor contradicts the database, or is forged."""
    KEY = "key"
    """The key is unknown, or a chain is unsigned although a key is set."""
    HOLD = "hold"
    """A legal hold was removed, changed, made up, or released without an entry."""
    ORIGIN = "origin"
    """A chain was written in another environment."""
    CLOCK = "clock"
    """An entry is older than the previous one."""
    TRIGGER = "trigger"
    """The tables are not append-only any more."""


@dataclass(frozen=True, slots=True)
class VerificationFinding:
    """A fault at one place of the audit trail."""

    fault: AuditFault
    chain: str
    sequence: int | None
    """The entry's sequence. None: the finding concerns the whole chain, or the database."""
    message: str

    def __str__(self) -> str:
        where = self.chain if self.sequence is None else f"{self.chain} {self.sequence}"
        return f"{self.fault}: {where}: {self.message}" if where else f"{self.fault}: {self.message}"


@dataclass(slots=True)
class VerificationResult:
    """The result of a verification."""

    entries: int = 0
    chains: int = 0
    purged: int = 0
    """Entries that were purged behind signed tombstones."""
    erased: int = 0
    """Entries whose personal part was erased."""
    anchors: int = 0
    """Anchors that were compared."""
    timestamps: int = 0
    """Of these, anchors with a timestamp."""
    unkeyed_chains: int = 0
    """Unsigned chains: anyone with write access to the database could have written them."""
    unanchored: dict[str, int] = field(default_factory=dict)
    """Chains without an anchor: the time of their last entry in nanoseconds since the epoch, by chain."""
    signatures: int = 0
    """Timestamps with a valid signature."""
    unverified: list[str] = field(default_factory=list)
    """What could not be verified, in sentences."""
    clock_steps: int = 0
    """Entries that record that the clock had stepped back."""
    findings: list[VerificationFinding] = field(default_factory=list)
    """The first findings. `faults` counts all of them."""
    faults: Counter[AuditFault] = field(default_factory=Counter)
    max_findings: int = 1000
    _unknown_keys: set[tuple[AuditFault, str, str]] = field(default_factory=set)

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.faults

    def add(self, fault: AuditFault, chain: str, sequence: int | None, message: str) -> None:
        """Add a finding."""
        self.faults[fault] += 1
        if len(self.findings) < self.max_findings:
            self.findings.append(VerificationFinding(fault, chain, sequence, message))

    def add_unknown_key(self, fault: AuditFault, chain: str, sequence: int | None, key_id: str) -> None:
        """Add the finding that a key is unknown. It is counted each time and listed once per chain."""
        if (fault, chain, key_id) in self._unknown_keys:
            self.faults[fault] += 1
            return
        self._unknown_keys.add((fault, chain, key_id))
        self.add(fault, chain, sequence, f"the key {key_id} is unknown; add it to MITA_OTEL_AUDIT_OLD_KEYS")

    def as_dict(self) -> Mapping[str, object]:
        """Return the result as JSON values."""
        return {
            "ok": self.ok,
            "entries": self.entries,
            "chains": self.chains,
            "purged": self.purged,
            "erased": self.erased,
            "anchors": self.anchors,
            "timestamps": self.timestamps,
            "unkeyed_chains": self.unkeyed_chains,
            "unanchored_chains": len(self.unanchored),
            "clock_steps": self.clock_steps,
            "signatures": self.signatures,
            "unverified": list(self.unverified),
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
