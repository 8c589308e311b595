"""What speaks for keeping a trace, and what was decided."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mita_otel.processors.sampling.consistent import NEVER, Randomness, ratio_of, threshold_of
from mita_otel.processors.sampling.rules import Match

Flaw = Literal["breach", "error"]
"""What makes a trace one to keep whatever the ratio: a limit was broken, or something failed."""

Caller = Literal["undecided", "against", "for"]
"""What whoever called us decided about the trace, as far as the policy lets that count."""

Reason = Literal["breach", "error", "rule", "ratio", "caller"]
"""Why a trace was kept, or not."""


@dataclass(frozen=True, slots=True)
class Clues:
    """What is known of a trace so far."""

    randomness: Randomness
    flaw: Flaw | None = None
    match: Match | None = None
    """The rule with the highest ratio."""
    caller: Caller = "undecided"

    def joined(self, flaw: Flaw | None, match: Match | None, caller: Caller = "undecided") -> Clues:
        """Return the clues with those of one more span."""
        if match is None or (self.match is not None and match.ratio <= self.match.ratio):
            match = self.match
        if flaw is None or self.flaw == "breach":
            flaw = self.flaw
        return Clues(self.randomness, flaw, match, self.caller if caller == "undecided" else caller)


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided about a trace."""

    kept: bool
    reason: Reason
    threshold: int
    """The threshold that was applied, a caller's included: see `mita_otel.processors.sampling.consistent`."""
    rule: str | None = None

    @property
    def rate(self) -> float:
        """The share of such traces that is kept."""
        return ratio_of(self.threshold)


def decide(clues: Clues, ratio: float) -> Decision:
    """Return the decision about a trace.

    Args:
        clues: What is known.
        ratio: The share of the traces that nothing is wrong with and no rule matches.
    """
    before = clues.randomness.threshold
    if clues.flaw is not None:
        return Decision(True, clues.flaw, before)
    if clues.caller != "undecided":
        return Decision(clues.caller == "for", "caller", before)
    match = clues.match
    threshold = max(before, threshold_of(ratio if match is None else match.ratio))
    kept = threshold < NEVER and clues.randomness.passes(threshold)
    return Decision(kept, "rule" if match else "ratio", threshold, match.rule if match else None)
