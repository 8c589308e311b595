"""OpenTelemetry's consistent probability sampling: all services make the same decision about a trace.

A trace has 56 random bits: the last bits of its id, or `rv` in the tracestate's `ot` member. It is kept if they are not
below a threshold, so the traces kept at 1 % are a subset of those kept at 10 %. The applied threshold is propagated as
`th`, so that backends can scale counts.

Source: https://opentelemetry.io/docs/specs/otel/trace/tracestate-probability-sampling/
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MEMBER: Final = "ot"
"""OpenTelemetry's member of a tracestate."""

_BITS: Final = 56
_ALL: Final = 1 << _BITS
_MASK: Final = _ALL - 1
_DIGITS: Final = 14
_LONGEST: Final = 256

NEVER: Final = _ALL
"""The threshold that no trace passes."""


def threshold_of(ratio: float) -> int:
    """Return the threshold that keeps a fraction of traces."""
    return _ALL - round(ratio * _ALL)


def ratio_of(threshold: int) -> float:
    """Return the fraction of traces that a threshold keeps."""
    return (_ALL - threshold) / _ALL


@dataclass(frozen=True, slots=True)
class Randomness:
    """The random bits of a trace and the threshold of its caller."""

    value: int
    """56 random bits."""
    threshold: int = 0
    """The threshold that a caller has applied; 0 if it applied none."""

    def passes(self, threshold: int) -> bool:
        """Return whether the trace is kept at the threshold."""
        return self.value >= threshold


def randomness_of(trace_id: int, member: str | None = None) -> Randomness:
    """Return the randomness of a trace.

    Args:
        trace_id: The trace's id.
        member: The tracestate's `ot` member, such as `th:e6666666666666;rv:0123456789abcd`. Invalid parts are ignored.
    """
    value, threshold = trace_id & _MASK, 0
    if member and len(member) <= _LONGEST:
        for part in member.split(";"):
            key, _, digits = part.partition(":")
            if key == "rv" and len(digits) == _DIGITS:
                value = _hexadecimal(digits, value)
            elif key == "th" and 0 < len(digits) <= _DIGITS:
                threshold = _hexadecimal(digits.ljust(_DIGITS, "0"), 0)
    return Randomness(value, threshold)


def member_with(member: str | None, threshold: int) -> str:
    """Return the `ot` member with the applied threshold. Its other parts are unchanged."""
    digits = f"{threshold:014x}".rstrip("0") or "0"
    rest = [part for part in (member or "").split(";") if part and not part.startswith("th:")]
    while rest and len(f"th:{digits};{';'.join(rest)}") > _LONGEST:
        rest.pop()
    return ";".join([f"th:{digits}", *rest])


def _hexadecimal(digits: str, otherwise: int) -> int:
    # int() also accepts signs, underscores and spaces.
    return int(digits, 16) if all(digit in "0123456789abcdef" for digit in digits) else otherwise
