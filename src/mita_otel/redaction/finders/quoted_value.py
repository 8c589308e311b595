"""A quoted name and a quoted value side by side: `('password', 'hunter2')`, `["pin", "4821"]`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from mita_otel.redaction.finders.hit import Hit
from mita_otel.redaction.finders.value_bounds import quoted_end
from mita_otel.redaction.finders.value_shapes import has_digit
from mita_otel.redaction.keys import KeyRules
from mita_otel.redaction.marker import MARKER

_NAME: Final = re.compile(r"(?P<open>[(\[])b?(?P<quote>[\"'])(?P<name>[\w.\-]{1,64})(?P=quote), ?b?(?=[\"'])")


class QuotedValueFinder:
    """Finds the second of two quoted texts in brackets whose first is a sensitive name.

    Args:
        keys: Which names are sensitive.
    """

    def __init__(self, keys: KeyRules) -> None:
        self._keys = keys

    def __call__(self, text: str) -> Iterator[Hit]:
        """Yield the values, without their quotes."""
        for match in _NAME.finditer(text):
            quoted = quoted_end(text, match.end())
            if quoted is None or text[quoted[2] : quoted[2] + 1] not in (")", "]"):
                continue
            value = text[quoted[0] : quoted[1]]
            if match["open"] == "[" and not has_digit(value):  # a list of names
                continue
            rule = None if MARKER.fullmatch(value) else self._keys.rule_for(match["name"], value)
            if rule:
                yield Hit(quoted[0], quoted[1], rule)
