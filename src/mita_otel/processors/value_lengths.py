"""Limits on the length of attribute values: values are cut after redaction, since no rule recognises half a card number.

The SDK cuts values when they are recorded (`OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT` and others). Our providers record values
in full, up to a bound, and the redaction boundary applies the same variables. A host's provider may have cut values
before: their ends are redacted if they may be part of a secret.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from opentelemetry.sdk.trace import SpanLimits

from mita_otel._otel_compat.logs import log_record_length_limits
from mita_otel.policy.redaction import RedactionPolicy
from mita_otel.redaction.marker import MARKER

_OURS: Final = "mita."
"""Attributes that this package sets. The SDK's limits do not apply to them."""
_MARGIN: Final = 1024
"""Characters beyond `redaction.max_text` that are recorded, so that redaction finds a secret across its own cut."""
_END: Final = re.compile(
    r"(?:\d(?:\W{0,3}\d){6,}+\W{0,3}+"
    r"|\d(?=\d{0,5}\W)(?:\W{0,3}\d){5,}+\W{0,3}+"
    r"|\d(?:\d{0,8}&[a-z]{2,6};\d){1,4}[\d&a-z;]{0,12}"
    r"|(?:\\[ux]?[0-9A-Fa-f]{2,4}){2,16}\\?[ux]?[0-9A-Fa-f]{0,4}"
    r"|(?:&#\w{1,5};){2,16}&?#?\w{0,5}"
    r"|eyJ[A-Za-z0-9_\-.{}+]*"
    r"|\b[A-Z]{2}\d{2}(?:\W{0,3}[A-Z0-9]{4}){0,8}(?:\W{0,3}[A-Z0-9]{1,4})\W{0,3}"
    r"|(?<=://)[^\s/@]{0,64}:[^\s/@]{1,128}"
    r"|(?:AKIA|ASIA|AIza|gh[a-z]_|[srp]k[_\-]|xox|glpat-|SG\.|hvs\.|npm_|pypi-)[A-Za-z0-9_\-.]{4,}"
    r"|(?!(\w)\1*\Z)[A-Za-z0-9_\-+=%/~]{20,}"
    r"|(?=[A-Za-z_\-+=%/~:]{0,64}(?:\d|(?<=[a-z])[A-Z]))[A-Za-z0-9_\-+=%/~:]{8,})\Z"
)
"""The start of a number with seven digits, or six in groups (six digits of a card number may be shown); a part of a
possible key; escaped characters."""
_REACH: Final = 128
_REPLACEMENT: Final = "[redacted:length]"


Find = Callable[[str], Sequence[tuple[int, int, str]]]
"""Returns the secrets in a text: start, end, rule."""


def _nothing(text: str) -> Sequence[tuple[int, int, str]]:
    return ()


def recorded_length(policy: RedactionPolicy) -> int | None:
    """Return the length up to which our providers record values; None: in full."""
    return policy.max_text + _MARGIN if policy.enabled else None


class ValueLengths:
    """The lengths of one kind of attributes.

    Args:
        recorded: Lengths at which the provider cuts values. None is ignored.
        limit: Maximum length of a value that leaves. None: no limit.
        find: Returns the secrets in a text. It is given cut values with their last quote closed.
    """

    def __init__(self, *recorded: int | None, limit: int | None = None, find: Find = _nothing) -> None:
        self._recorded = frozenset(length for length in recorded if length)
        self._limit = limit
        self._find = find

    @classmethod
    def of_spans(cls, *recorded: int | None, find: Find) -> tuple[ValueLengths, ValueLengths]:
        """Return the lengths of a span's attributes, and of the attributes of its events and links.

        Args:
            recorded: Lengths at which the provider cuts values. None given: those of the environment.
            find: Returns the secrets in a text.
        """
        limits = SpanLimits()
        span, other = limits.max_span_attribute_length, limits.max_attribute_length
        recorded = recorded or (span, other)
        return cls(*recorded, limit=span, find=find), cls(*recorded, limit=other, find=find)

    @classmethod
    def of_log_records(cls, *recorded: int | None, find: Find) -> ValueLengths:
        """Return the lengths of a log record's attributes."""
        general, own = log_record_length_limits()
        return cls(*(recorded or (general, own)), limit=general if own is None else own, find=find)

    def redacted_ends(self, attributes: Mapping[str, Any] | None, tally: Counter[str]) -> Mapping[str, Any]:
        """Return the attributes with redacted ends of values that the provider cut, and count the redactions."""
        if not attributes:
            return {}
        if not self._recorded:
            return attributes
        return {key: self._redacted_end(value, tally) for key, value in attributes.items()}

    def _redacted_end(self, value: Any, tally: Counter[str]) -> Any:
        if isinstance(value, (list, tuple)):
            return [self._redacted_end(member, tally) for member in value]
        if isinstance(value, Mapping):
            return {key: self._redacted_end(member, tally) for key, member in value.items()}
        if not isinstance(value, str) or len(value) not in self._recorded:
            return value
        end = _END.search(value, max(0, len(value) - _REACH))
        start = len(value) if end is None else end.start()
        for quote in "\"'":
            if value.count(quote) % 2:
                at_end = [hit[0] for hit in self._find(value + quote) if hit[1] >= len(value)]
                start = min([start, *at_end])
        if start == len(value):
            return value
        tally["length"] += 1
        return value[:start] + _REPLACEMENT

    def cut(self, safe: Mapping[str, Any], recorded: Mapping[str, Any] | None) -> dict[str, Any] | None:
        """Return redacted attributes with values of at most the limit, or None if none is longer.

        Args:
            safe: The redacted attributes.
            recorded: The attributes before. A value that only its markers make longer than the limit stays whole.
        """
        if self._limit is None or not recorded:
            return None
        cut = {
            key: self._cut(value)
            for key, value in safe.items()
            if not key.startswith(_OURS) and self._exceeds(recorded.get(key, value))
        }
        return {**safe, **cut} if cut else None

    def _exceeds(self, value: Any) -> bool:
        if isinstance(value, str):
            return len(value) > (self._limit or 0)
        if isinstance(value, Mapping):
            return any(map(self._exceeds, value.values()))
        return isinstance(value, (list, tuple)) and any(map(self._exceeds, value))

    def _cut(self, value: Any) -> Any:
        if isinstance(value, str):
            return cut_text(value, self._limit or 0)
        if isinstance(value, (list, tuple)):
            return tuple(map(self._cut, value))
        if isinstance(value, Mapping):
            return {key: self._cut(member) for key, member in value.items()}
        return value


def cut_text(text: str, limit: int) -> str:
    """Return the start of a redacted text, without a part of a marker at its end."""
    if len(text) <= limit:
        return text
    for marker in MARKER.finditer(text):
        if marker.start() < limit < marker.end():
            return text[: marker.start()]
    return text[:limit]
