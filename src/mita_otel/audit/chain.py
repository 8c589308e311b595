"""The hash chain of one writer: each entry names the signature of the one before it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import orjson

from mita_otel.audit.canonical import canonical
from mita_otel.audit.draft import Draft
from mita_otel.audit.keys import AuditKeys
from mita_otel.audit.personal import Personal

FORMAT: Final = 1
"""Version of the body's format, in each body."""

_NOTHING: Final = "-"
_PARTS: Final = 4
_MAC_CHARACTERS: Final = 64
_MAX_KEY_ID: Final = 64
_LARGEST: Final = 2**63 - 1
_NEEDED: Final = (
    ("chain", str),
    ("sequence", int),
    ("recorded_ns", int),
    ("type", str),
    ("outcome", str),
    ("service", str),
)
"""Without these an entry has no row."""


@dataclass(frozen=True, slots=True)
class SealedEntry:
    """An entry in its place: signed, and never changed again."""

    body: bytes
    """Canonical JSON: everything that is signed."""
    mac: str
    """HMAC-SHA256 of the body, hexadecimal."""
    key_id: str
    personal: Personal | None

    @property
    def fields(self) -> dict[str, Any]:
        """What the body says."""
        fields: dict[str, Any] = orjson.loads(self.body)
        return fields

    def line(self) -> bytes:
        """Return the entry as a line of the spool. Canonical JSON has no tab and no line break in it."""
        personal = _NOTHING if self.personal is None else f"{self.personal.key} "
        data = b"" if self.personal is None else self.personal.data
        return (
            b"\t".join((self.mac.encode(), self.key_id.encode(), self.body, personal.encode() + data)) + b"\n"
        )

    @classmethod
    def from_line(cls, line: bytes) -> SealedEntry:
        """Return the entry of a line.

        Raises:
            ValueError: The line is not one, or not whole.
        """
        parts = line.split(b"\t")
        if len(parts) != _PARTS or not line.endswith(b"\n"):
            raise ValueError("not a line of the audit spool")
        mac, key_id, body, rest = parts
        key, blank, data = rest[:-1].partition(b" ")
        entry = cls(body, mac.decode(), key_id.decode(), Personal(data, key.decode()) if blank else None)
        if len(mac) != _MAC_CHARACTERS or len(key_id) > _MAX_KEY_ID or not _has_a_place(entry.fields):
            raise ValueError("not a line of the audit spool")
        return entry


def _has_a_place(fields: Any) -> bool:
    """Return whether what a body says can be a row: a line that cannot must not hold up those behind it."""
    return (
        isinstance(fields, dict)
        and all(isinstance(fields.get(name), kind) for name, kind in _NEEDED)
        and 0 <= fields["sequence"] <= _LARGEST
        and 0 <= fields["recorded_ns"] <= _LARGEST
    )


class Chain:
    """Gives entries their places. Not thread-safe: whoever writes the spool holds a lock.

    `seal` computes and changes nothing; `advance` says that the sealed entry is on the disk.

    Args:
        keys: Signs.
        clock_ns: Nanoseconds since the epoch. One that steps back is noticed and held up.
        chain_id: None: a new one, which sorts by time.
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
        """Where the next entry goes."""
        return self._head

    def seal(self, draft: Draft, place: ChainPosition) -> tuple[SealedEntry, ChainPosition]:
        """Return the entry for a draft at a place, and the place after it."""
        now_ns = self._clock_ns()
        recorded_ns = max(now_ns, place.not_before_ns)
        fields: dict[str, Any] = {
            **draft.fields,
            "v": FORMAT,
            "chain": self.id,
            "sequence": place.sequence,
            "previous": place.previous,
            "recorded_ns": recorded_ns,
        }
        if recorded_ns - now_ns > _TICK_NS:
            fields["clock_behind_ns"] = recorded_ns - now_ns
        if draft.personal is not None:
            fields["personal"] = draft.personal.commitment
        body = canonical(fields)
        mac = self._keys.sign("entry", body)
        entry = SealedEntry(body, mac, self._keys.current_id, draft.personal)
        return entry, ChainPosition(place.sequence + 1, mac, recorded_ns + 1)

    def advance(self, place: ChainPosition) -> None:
        """Move the head: what was sealed up to `place` is on the disk."""
        self._head = place


_TICK_NS: Final = 1_000_000
"""A clock that stands still for this long is merely coarse."""


@dataclass(frozen=True, slots=True)
class ChainPosition:
    """Where an entry goes."""

    sequence: int
    previous: str
    """Signature of the entry before it; of the first one, of the chain's id."""
    not_before_ns: int
    """Nanoseconds since the epoch: later than the entry before it."""


def genesis(keys: AuditKeys, chain_id: str, key_id: str) -> str:
    """Return what the first entry of a chain names as the one before it."""
    return keys.sign("entry", f"genesis {chain_id}".encode(), key_id)
