"""A number and what it counts, in words."""

from __future__ import annotations


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """Return a number and what it counts, as in `1 chain`, `2,000 entries`.

    Args:
        count: The number.
        noun: What is counted, if it is one.
        plural: If there are several. None: with an s.
    """
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"
