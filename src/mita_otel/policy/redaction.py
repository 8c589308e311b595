"""The section of a policy that says what must never leave the process."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mita_otel.policy.sections import Section

Mode = Literal["remove", "mask", "last4", "hmac"]
"""What stands where a secret was."""


class KeyPolicy(Section):
    """Names whose values are secret."""

    sensitive: tuple[str, ...]
    """Names, compared word by word: `card_number` also covers `cardNumber` and `CARD-NUMBER`."""
    allow: tuple[str, ...]
    """Names that are never secret. Their values are still looked at."""


class RedactionPolicy(Section):
    """What must never leave the process."""

    enabled: bool
    """Whether anything is redacted. Only a development policy would say false."""
    max_text: Annotated[int, Field(ge=256)]
    """Characters of one value that are looked at; the rest is cut off."""
    max_depth: Annotated[int, Field(ge=1, le=64)]
    """Levels of nesting that are followed; what is deeper is replaced."""
    max_items: Annotated[int, Field(ge=1)]
    """Members of one list or mapping that are followed; the rest is dropped."""
    modes: dict[str, Mode]
    """What stands where a secret was, by rule."""
    keys: KeyPolicy
