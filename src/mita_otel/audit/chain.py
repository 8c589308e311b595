"""The hash chain of one writer: each entry contains the signature of the previous one."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import orjson

from mita_otel.audit.canonical import AuditKeys, canonical
from mita_otel.audit.draft import Draft, Personal

FORMAT: Final = 1
"""Version of the format; part of each body."""

_NO_PERSONAL: Final = "-"
_PARTS: Final = 4
_MAC_CHARACTERS: Final = 64
_MAX_KEY_ID: Final = 64
_LARGEST: Final = 2**63 - 1
_REQUIRED: Final = (
    ("chain", str),
    ("sequence", int),
    ("recorded_ns", int),
    ("type", str),
    ("outcome", str),
    ("service", str),
)
"""The fields without which an entry has no row."""


@dataclass(frozen=True, slots=True)
class SealedEntry:
    """A signed entry at its position in the chain. It never changes."""

    body: bytes
    """Canonical JSON of the signed fields."""
    mac: str
    """HMAC-SHA256 of the body, hexadecimal."""
    key_id: str
    personal: Personal | None

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of the body."""
        fields: dict[str, Any] = orjson.loads(self.body)
        return fields

    def line(self) -> bytes:
        """Return the entry as a line of the spool. Canonical JSON contains no tab and no line break."""
        personal = _NO_PERSONAL if self.personal is None else f"{self.personal.key} "
        data = b"" if self.personal is None else self.personal.data
        return (
            b"\t".join((self.mac.encode(), self.key_id.encode(), self.body, personal.encode() + data)) + b"\n"
        )

    @classmethod
    def from_line(cls, line: bytes) -> SealedEntry:
        """Return the entry of a line.

        Raises:
            ValueError: The line is not an entry, or incomplete.
        """
        parts = line.split(b"\t")
        if len(parts) != _PARTS or not line.endswith(b"\n"):
            raise ValueError("not a line of the audit spool")
        mac, key_id, body, rest = parts
        key, blank, data = rest[:-1].partition(b" ")
        entry = cls(body, mac.decode(), key_id.decode(), Personal(data, key.decode()) if blank else None)
        if len(mac) != _MAC_CHARACTERS or len(key_id) > _MAX_KEY_ID or not _fits_a_row(entry.fields):
            raise ValueError("not a line of the audit spool")
        return entry


def _fits_a_row(fields: Any) -> bool:
    """Return whether the fields of a body fit into a row.

    A line that does not fit must not block the following ones.
    """
    return (
        isinstance(fields, dict)
        and all(isinstance(fields.get(name), kind) for name, kind in _REQUIRED)
        and 0 <= fields["sequence"] <= _LARGEST
        and 0 <= fields["recorded_ns"] <= _LARGEST
    )


class Chain:
    """Assigns positions to entries and signs them. Not thread-safe.

    `seal` only computes; `advance` moves the head once the sealed entry is on the disk.

    Args:
        keys: Sign the entries.
        clock_ns: Nanoseconds since the epoch. If the clock steps back, the last timestamp is reused and the
            difference is recorded.
        chain_id: None: a new id. New ids sort by time.
    """

    def __init__(
        self, keys: AuditKeys, *, clock_ns: Callable[[], int] = time.time_ns, chain_id: str | None = None
    ) -> None:
        self._keys = keys
        self._clock_ns = clock_ns
        self.id = chain_id or f"{clock_ns() // 1_000_000:012x}{secrets.token_hex(10)}"
        self._head = ChainPosition(0, genesis(keys, self.id, keys.current_id), 0)

    @property
    def head(self) -> ChainPosition:
        """The position of the next entry."""
        return self._head

    def seal(self, draft: Draft, position: ChainPosition) -> tuple[SealedEntry, ChainPosition]:
        """Return the entry for a draft at a position, and the next position."""
        now_ns = self._clock_ns()
        recorded_ns = max(now_ns, position.not_before_ns)
        fields: dict[str, Any] = {
            **draft.fields,
            "v": FORMAT,
            "chain": self.id,
            "sequence": position.sequence,
            "previous": position.previous,
            "recorded_ns": recorded_ns,
        }
        if recorded_ns - now_ns > _TICK_NS:
            fields["clock_behind_ns"] = recorded_ns - now_ns
        if draft.personal is not None:
            fields["personal"] = draft.personal.commitment
        body = canonical(fields)
        mac = self._keys.sign("entry", body)
        entry = SealedEntry(body, mac, self._keys.current_id, draft.personal)
        return entry, ChainPosition(position.sequence + 1, mac, recorded_ns + 1)

    def advance(self, position: ChainPosition) -> None:
        """Move the head: the entries before `position` are on the disk."""
        self._head = position


_TICK_NS: Final = 1_000_000
"""Smaller differences come from a coarse clock and are not recorded."""


@dataclass(frozen=True, slots=True)
class ChainPosition:
    """The position of an entry in a chain."""

    sequence: int
    previous: str
    """Signature of the previous entry; for the first entry, signature of the chain's id."""
    not_before_ns: int
    """Nanoseconds since the epoch: later than the previous entry."""


def genesis(keys: AuditKeys, chain_id: str, key_id: str) -> str:
    """Return the value that the first entry of a chain has in place of the previous signature."""
    return keys.sign("entry", f"genesis {chain_id}".encode(), key_id)
