"""What an entry says about a person is kept apart, so that it can be erased and the chain stays valid.

The signed body of an entry holds a commitment, an HMAC of the personal part under a random key that belongs
to this entry alone. The personal part and the key stand beside the body. Once both are erased, nobody can
tell whose the commitment was, not even by trying every user of the bank (crypto-shredding).
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from mita_otel.audit.canonical import canonical

PLACEHOLDER: Final = "[personal]"
"""Stands in the body where a personal value was."""

_KEY_BYTES: Final = 16

Path = list[str | int]


@dataclass(frozen=True, slots=True)
class Personal:
    """The personal part of an entry."""

    data: bytes
    """Canonical JSON."""
    key: str
    """The random key of the commitment, hexadecimal."""

    @classmethod
    def seal(cls, values: Mapping[str, Any]) -> Personal:
        """Return the personal part under a new key."""
        return cls(canonical(values), secrets.token_hex(_KEY_BYTES))

    @property
    def commitment(self) -> str:
        """What the signed body holds in place of the personal part."""
        return hmac.digest(bytes.fromhex(self.key), self.data, "sha256").hex()

    @property
    def values(self) -> dict[str, Any]:
        """`user_id`, `client_address`, and `fields`: pairs of path and value."""
        values: dict[str, Any] = orjson.loads(self.data)
        return values


def take_out(tree: Any, names: frozenset[str], user_id: str | None) -> tuple[Any, list[tuple[Path, Any]]]:
    """Take personal values out of a tree.

    Args:
        tree: Nested mappings and lists.
        names: Names whose values are personal, in small letters.
        user_id: A value that equals it is personal under any name.

    Returns:
        The tree with placeholders, and what was there: pairs of path and value.
    """
    taken: list[tuple[Path, Any]] = []

    def walk(node: Any, path: Path) -> Any:
        if isinstance(node, Mapping):
            return {
                key: take(member, [*path, key])
                if str(key).lower() in names and member is not None
                else walk(member, [*path, key])
                for key, member in node.items()
            }
        if isinstance(node, Sequence) and not isinstance(node, str | bytes):
            return [walk(member, [*path, index]) for index, member in enumerate(node)]
        if user_id is not None and isinstance(node, str | int) and str(node) == user_id:
            return take(node, path)
        return node

    def take(value: Any, path: Path) -> str:
        taken.append((path, value))
        return PLACEHOLDER

    return walk(tree, []), taken


def put_back(tree: Any, taken: Sequence[Sequence[Any]]) -> Any:
    """Return the tree with the personal values where they were, as far as it still has the places."""
    for path, value in taken:
        node = tree
        try:
            for step in path[:-1]:
                node = node[step]
            if node[path[-1]] == PLACEHOLDER:
                node[path[-1]] = value
        except (KeyError, IndexError, TypeError):
            continue  # that part was too large and is not there
    return tree
