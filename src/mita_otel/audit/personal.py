"""Keeps personal data of an entry apart, so that it can be erased without breaking the chain.

The signed body contains a commitment: an HMAC of the personal part under a random key of this entry. The personal
part and the key are stored beside the body. Once both are erased, the commitment does not reveal the person, not
even by trying every user of the bank (crypto-shredding).
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
"""Replaces a personal value in the body."""

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
        """The value in the signed body that replaces the personal part."""
        return hmac.digest(bytes.fromhex(self.key), self.data, "sha256").hex()

    @property
    def values(self) -> dict[str, Any]:
        """`user_id`, `client_address`, and `fields`: pairs of path and value."""
        values: dict[str, Any] = orjson.loads(self.data)
        return values


def separate(tree: Any, names: frozenset[str], user_id: str | None) -> tuple[Any, list[tuple[Path, Any]]]:
    """Separate personal values from a tree.

    Args:
        tree: Nested mappings and lists.
        names: Lower-case names whose values are personal.
        user_id: A value that equals it is personal under any name.

    Returns:
        The tree with placeholders, and the personal values as pairs of path and value.
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


def restore(tree: Any, taken: Sequence[Sequence[Any]]) -> Any:
    """Return the tree with its personal values restored, as far as their places still exist."""
    for path, value in taken:
        node = tree
        try:
            for step in path[:-1]:
                node = node[step]
            if node[path[-1]] == PLACEHOLDER:
                node[path[-1]] = value
        except (KeyError, IndexError, TypeError):
            continue  # that part was too large and was replaced by its digest
    return tree
