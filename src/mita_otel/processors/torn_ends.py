"""What the SDK's own limit has cut: half a card number is none any more to any rule, so the torn end goes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from opentelemetry.sdk.trace import SpanLimits

from mita_otel._otel_compat import log_record_length_limits

_END: Final = re.compile(
    r"(?:(?:\d[ \-.]?){7,}|eyJ[A-Za-z0-9_\-.]*|(?=[A-Za-z_\-+=%]{0,64}\d)[A-Za-z0-9_\-+=%]{8,})\Z"
)
"""Seven digits or more (the first six of a card number may be shown), or what may have been a key."""
_REACH: Final = 128
_CUT: Final = "[redacted:length]"


class TornEnds:
    """Hides the end of texts that are exactly as long as a limit of the SDK lets them be.

    `OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT` and its like cut values before any processor sees them.

    Args:
        limits: Lengths at which values are cut. None, or none at all: nothing is cut.
    """

    def __init__(self, *limits: int | None) -> None:
        self._limits = frozenset(limit for limit in limits if limit)

    @classmethod
    def of_spans(cls) -> TornEnds:
        """Return the limits that the environment sets for spans."""
        limits = SpanLimits()
        return cls(limits.max_attribute_length, limits.max_span_attribute_length)

    @classmethod
    def of_log_records(cls) -> TornEnds:
        """Return the limits that the environment sets for log records."""
        return cls(*log_record_length_limits())

    def hidden(self, attributes: Mapping[str, Any] | None, tally: Counter[str]) -> Mapping[str, Any]:
        """Return the attributes without torn ends, and count these."""
        if not attributes:
            return {}
        if not self._limits:
            return attributes
        return {key: self._value(value, tally) for key, value in attributes.items()}

    def _value(self, value: Any, tally: Counter[str]) -> Any:
        if isinstance(value, (list, tuple)):
            return [self._value(member, tally) for member in value]
        if not isinstance(value, str) or len(value) not in self._limits:
            return value
        torn = _END.search(value, max(0, len(value) - _REACH))
        if torn is None:
            return value
        tally["length"] += 1
        return value[: torn.start()] + _CUT
