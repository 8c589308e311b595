"""Verifies the rows of one chain, one at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from mita_otel.audit.canonical import UNKEYED, tombstone_message
from mita_otel.audit.chain import genesis
from mita_otel.audit.verification.erasures import VerificationContext, check_person
from mita_otel.audit.verification.findings import AuditFault, VerificationResult

_COLUMNS: Final = (
    ("recorded_ns", "recorded_ns"),
    ("event_type", "type"),
    ("outcome", "outcome"),
    ("service", "service"),
    ("resource_type", "resource_type"),
    ("resource_id", "resource_id"),
    ("request_id", "request_id"),
    ("trace_id", "trace_id"),
)
"""Columns that repeat parts of the signed body, and their names there."""


class ChainWalk:
    """Verifies one chain. Call `see` for each row in order, then `finish`.

    Args:
        chain: The chain's id.
        known: The keys and the erasures.
        tombstones: The chain's tombstones, by first sequence.
        anchors: The chain's anchors: signature by sequence.
        waiting: Entries in the spool: signature by sequence.
        result: Collects the findings.
    """

    def __init__(
        self,
        chain: str,
        known: VerificationContext,
        tombstones: Sequence[Any],
        anchors: Mapping[int, str],
        waiting: Mapping[int, str],
        result: VerificationResult,
    ) -> None:
        self.chain = chain
        """Its id."""
        self.entries = 0
        """Rows so far."""
        self._known = known
        self._anchors = dict(anchors)
        self._waiting = waiting
        self._result = result
        self._expected = 0
        self._previous: str | None = None
        self._recorded_ns = 0
        self._begun = False
        self._key_id: str | None = None
        self.environment: str | None = None
        """The environment and the service of the first genuine entry."""
        self.service: str | None = None
        self._inside: Any = None
        """The tombstone whose rows are not all deleted yet."""
        self._tombstones = [one for one in tombstones if self._is_genuine(one)]
        result.chains += 1

    def see(self, row: Any) -> None:
        """Verify the next row of `mita_audit_entries`."""
        result, chain, sequence = self._result, self.chain, row.sequence
        result.entries += 1
        self.entries += 1
        texts = (row.chain, row.body, row.mac, row.key_id)
        if not isinstance(sequence, int) or not all(isinstance(one, str) for one in texts):
            # SQLite accepts values of any type in any column.
            self._result.add(
                AuditFault.CHANGED, chain, None, f"the entry at {sequence!r} has values of another type"
            )
            return
        if not self._begun:
            self._begin(row.key_id)
        self._pass_tombstones(sequence)
        if self._inside is not None:
            result.purged -= 1
        if self._expected < sequence and self._inside is None:
            self._missing(self._expected, sequence - 1, "the following entry refers to them")
            self._previous = None
        genuine, in_place = self._signature(row), False
        try:
            fields: dict[str, Any] = orjson.loads(row.body)
            fields["chain"], fields["previous"]
        except (ValueError, TypeError, KeyError):
            fields = {}
        if genuine:
            in_place = fields["chain"] == chain and fields["sequence"] == sequence
            if self.environment is None:
                self.environment, self.service = str(fields.get("environment", "")), row.service
            if in_place:
                self._link(row, fields)
            else:
                message = (
                    f"this is the entry {fields['chain']} {fields['sequence']}; it was moved to this position"
                )
                result.add(AuditFault.MOVED, chain, sequence, message)
            self._columns(row, fields)
        check_person(row, fields, self._known, result)
        if in_place or not genuine:
            self._anchor(sequence, row.mac)
        self._expected = sequence + 1
        self._previous = row.mac if in_place else None

    def finish(self) -> None:
        """Report what is missing after the last row."""
        if not self._begun:
            self._begin(self._tombstones[0].key_id if self._tombstones else None)
        self._pass_tombstones(None)
        for tombstone in self._tombstones:
            self._result.add(
                AuditFault.TOMBSTONE,
                self.chain,
                tombstone.first_sequence,
                "no entry of the chain precedes this tombstone",
            )
        if self.entries and not self._anchors:
            self._result.unanchored[self.chain] = self._recorded_ns
        beyond = {sequence: mac for sequence, mac in self._anchors.items() if sequence >= self._expected}
        for sequence, mac in sorted(beyond.items()):
            if self._waiting.get(sequence) == mac:
                del beyond[sequence]
        if beyond:
            self._missing(self._expected, max(beyond), "an anchor proves that they existed")

    def _begin(self, key_id: str | None) -> None:
        self._begun = True
        self._key_id = key_id
        keys = self._known.keys
        if key_id is not None and keys.knows(key_id):
            self._previous = genesis(keys, self.chain, key_id)
        if key_id == UNKEYED:
            self._result.unkeyed_chains += 1
            if keys.expects_keys and not self._known.allow_unkeyed:
                self._result.add(
                    AuditFault.KEY,
                    self.chain,
                    None,
                    "this chain is unsigned although a key is set: anyone could have written it (--allow-unkeyed accepts "
                    "unsigned chains that were written before a key was set)",
                )

    def _signature(self, row: Any) -> bool:
        keys, result = self._known.keys, self._result
        if not keys.knows(row.key_id):
            result.add_unknown_key(AuditFault.KEY, self.chain, row.sequence, row.key_id)
            return False
        if row.key_id != self._key_id:
            result.add(
                AuditFault.KEY,
                self.chain,
                row.sequence,
                "this entry is not signed with the key of the chain's first entry",
            )
            return False
        if keys.verify("entry", row.body.encode(), row.mac, row.key_id):
            return True
        result.add(
            AuditFault.CHANGED,
            self.chain,
            row.sequence,
            "the signature is invalid: the entry was changed, or added without the key",
        )
        return False

    def _link(self, row: Any, fields: Mapping[str, Any]) -> None:
        result = self._result
        if "clock_behind_ns" in fields:
            result.clock_steps += 1
        if self._inside is not None:
            return
        if self._previous is not None and fields["previous"] != self._previous:
            result.add(
                AuditFault.INSERTED,
                self.chain,
                row.sequence,
                "this entry does not follow the previous one: an entry between them was removed or replaced",
            )
        if fields["recorded_ns"] < self._recorded_ns:
            result.add(AuditFault.CLOCK, self.chain, row.sequence, "the entry is older than the previous one")
        self._recorded_ns = fields["recorded_ns"]

    def _columns(self, row: Any, fields: Mapping[str, Any]) -> None:
        for column, name in _COLUMNS:
            if getattr(row, column) != fields.get(name):
                self._result.add(
                    AuditFault.COLUMN,
                    self.chain,
                    row.sequence,
                    f"the column {column} was changed: it differs from the signed body",
                )

    def _pass_tombstones(self, sequence: int | None) -> None:
        """Step over purged entries, up to the row at `sequence`. None: to the end."""
        if self._inside is not None and (sequence is None or sequence > self._inside.last_sequence):
            self._leave(self._inside)
        while self._tombstones and (sequence is None or self._tombstones[0].first_sequence <= sequence):
            tombstone = self._tombstones[0]
            if tombstone.first_sequence != self._expected:
                return
            self._tombstones.pop(0)
            if self._previous is not None and tombstone.previous != self._previous:
                self._result.add(
                    AuditFault.TOMBSTONE,
                    self.chain,
                    tombstone.first_sequence,
                    "this tombstone does not follow the previous entry",
                )
            self._result.purged += tombstone.last_sequence + 1 - tombstone.first_sequence
            self._recorded_ns = tombstone.last_recorded_ns
            self._tombstone_anchors(tombstone)
            if sequence is not None and sequence <= tombstone.last_sequence:
                self._inside = tombstone
                return
            self._leave(tombstone)

    def _leave(self, tombstone: Any) -> None:
        """Continue after a tombstone, whether or not some of its rows exist."""
        self._inside = None
        self._expected = tombstone.last_sequence + 1
        self._previous = tombstone.last_mac

    def _tombstone_anchors(self, tombstone: Any) -> None:
        known = self._anchors.get(tombstone.last_sequence)
        if known is not None and known != tombstone.last_mac:
            self._result.add(
                AuditFault.ANCHOR, self.chain, tombstone.last_sequence, "an anchor contradicts the tombstone"
            )

    def _anchor(self, sequence: int, mac: str) -> None:
        known = self._anchors.get(sequence)
        if known is not None and known != mac:
            self._result.add(
                AuditFault.ANCHOR, self.chain, sequence, "an anchor proves that a different entry was here"
            )

    def _missing(self, first: int, last: int, why: str) -> None:
        which = f"entry {first} is" if first == last else f"entries {first} to {last} are"
        self._result.add(AuditFault.MISSING, self.chain, first, f"{which} missing; {why}")

    def _is_genuine(self, tombstone: Any) -> bool:
        if self._known.keys.verify(
            "tombstone", tombstone_message(tombstone), tombstone.mac, tombstone.key_id
        ):
            return True
        self._result.add(
            AuditFault.TOMBSTONE,
            self.chain,
            tombstone.first_sequence,
            "this tombstone is forged or was changed",
        )
        return False
