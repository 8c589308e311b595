"""Canonical JSON: one spelling for each value, so that bytes can be signed and compared."""

from __future__ import annotations

import hmac
import os
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final, Literal

import orjson

from mita_otel import environment_variables as variables
from mita_otel.errors import ConfigurationError

_LARGEST: Final = 2**63 - 1
_UNPRINTABLE: Final = "\N{REPLACEMENT CHARACTER}"


def canonical(value: Any) -> bytes:
    """Return the value as JSON: keys sorted, no blanks, UTF-8.

    Values that JSON or a database cannot hold become text: decimals, dates, huge numbers, bytes (hexadecimal). Lone
    surrogates become the replacement character.
    """
    return orjson.dumps(_json_value(value), option=orjson.OPT_SORT_KEYS)


def clean_text(text: str) -> str:
    """Return the text without characters that a database's text column cannot hold: NUL and lone surrogates."""
    if "\x00" in text:
        text = text.replace("\x00", _UNPRINTABLE)
    return _encodable(text)


def _encodable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    return text


def _json_value(value: Any) -> Any:
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, str):
        return value if value.isascii() else _encodable(str(value))
    if isinstance(value, int):
        return int(value) if -_LARGEST <= value <= _LARGEST else str(value)
    if isinstance(value, Mapping):
        return {_encodable(str(key)): _json_value(member) for key, member in value.items()}
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    if isinstance(value, Sequence | AbstractSet):
        return [_json_value(member) for member in value]
    return _encodable(str(value))


UNKEYED: Final = "unkeyed"
"""Key id of an unsigned chain. Accidental changes are detected, deliberate ones are not."""

Purpose = Literal[
    "entry", "anchor", "tombstone", "erasure", "erased-entry", "hold", "subject", "erased-subject", "report"
]
"""What is signed. A signature for one purpose is not valid for another."""

_MIN_CHARACTERS: Final = 16
_ID_CHARACTERS: Final = 12


class AuditKeys:
    """Signs with the current key, and verifies with any known key.

    A key's id is derived from the key. To rotate, set the new key and add the previous one to the old keys.

    Args:
        current: The key that signs. None: chains are unsigned.
        old: Keys that only verify.
    """

    def __init__(self, current: bytes | None, old: Iterable[bytes] = ()) -> None:
        self._keys: dict[str, bytes] = {UNKEYED: b""}
        self._keys.update((_key_id(key), key) for key in old)
        self.current_id = UNKEYED if current is None else _key_id(current)
        """Id of the key that signs."""
        if current is not None:
            self._keys[self.current_id] = current

    @classmethod
    def from_environment(cls, env: Mapping[str, str] | None = None) -> AuditKeys:
        """Return the keys of `MITA_OTEL_AUDIT_KEY` and `MITA_OTEL_AUDIT_OLD_KEYS`.

        Raises:
            ConfigurationError: A key is too short.
        """
        env = os.environ if env is None else env
        current = env.get(variables.AUDIT_KEY, "").strip()
        old = [key.strip() for key in env.get(variables.AUDIT_OLD_KEYS, "").split(",") if key.strip()]
        for name, key in [(variables.AUDIT_KEY, current), *((variables.AUDIT_OLD_KEYS, key) for key in old)]:
            if key and len(key) < _MIN_CHARACTERS:
                raise ConfigurationError(
                    f"{name} has a key of {len(key)} characters; it needs at least {_MIN_CHARACTERS}. "
                    "Make one with: python -c 'import secrets; print(secrets.token_urlsafe(32))'"
                )
        return cls(current.encode() if current else None, [key.encode() for key in old])

    @property
    def keyed(self) -> bool:
        """Whether new entries are signed with a key."""
        return self.current_id != UNKEYED

    @property
    def expects_keys(self) -> bool:
        """Whether any key is known. If so, an unsigned chain is suspicious."""
        return len(self._keys) > 1

    def knows(self, key_id: str) -> bool:
        """Return whether the key is known, so that its signatures can be verified."""
        return key_id in self._keys

    def sign(self, purpose: Purpose, message: bytes, key_id: str | None = None) -> str:
        """Return the signature, hexadecimal.

        Args:
            purpose: The kind of message.
            message: The bytes.
            key_id: The key that signs. None: the current key.

        Raises:
            KeyError: The key is unknown.
        """
        key = self._keys[self.current_id if key_id is None else key_id]
        return hmac.digest(key, b"mita-otel " + purpose.encode() + b"\0" + message, "sha256").hex()

    def verify(self, purpose: Purpose, message: bytes, signature: str, key_id: str) -> bool:
        """Return whether the signature is valid under a known key.

        Unsigned entries are checked for accidental changes. Anything else without a key is invalid, unless no key
        is known.
        """
        if not self.knows(key_id) or (key_id == UNKEYED and purpose != "entry" and self.expects_keys):
            return False
        return hmac.compare_digest(
            self.sign(purpose, message, key_id).encode(), signature.encode("utf-8", "replace")
        )


def _key_id(key: bytes) -> str:
    return hmac.digest(key, b"mita-otel key id", "sha256").hex()[:_ID_CHARACTERS]


_TOMBSTONE = (
    "chain", "first_sequence", "last_sequence", "previous", "last_mac", "first_recorded_ns", "last_recorded_ns",
    "purged_ns", "reason", "key_id",
)  # fmt: skip
_ERASURE = ("id", "erased_ns", "entries", "reason", "key_id")


def tombstone_message(row: Any) -> bytes:
    """Return the signed part of a tombstone's row."""
    return canonical([getattr(row, name) for name in _TOMBSTONE])


def erasure_message(row: Any) -> bytes:
    """Return the signed part of an erasure's row."""
    return canonical([getattr(row, name) for name in _ERASURE])


def erased_entry_message(erasure_id: str, chain: str, sequence: int) -> bytes:
    """Return the signed message which proves that an entry's personal part was erased deliberately."""
    return canonical([erasure_id, chain, sequence])


def erased_subject_seal(keys: AuditKeys, row: Any, key_id: str | None = None) -> str:
    """Return the seal of a row of `mita_erased_subjects`, for the entry about the erasure. It reveals no digest."""
    return keys.sign("erased-subject", canonical([row.erasure_id, row.subject]), key_id)


def subject_digest(keys: AuditKeys, user_id: str, key_id: str | None = None) -> str:
    """Return the keyed digest of a person's id. Without the key it does not reveal the id."""
    return keys.sign("subject", user_id.encode("utf-8", "replace"), key_id)
