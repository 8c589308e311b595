"""The section of a policy that says how much is remembered for summaries of performance."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, NonNegativeInt, PositiveInt

from mita_otel.policy.sections import Section


class SummaryPolicy(Section):
    """What `get_performance_summary` can look back on. Memory is bounded by these numbers."""

    minutes: Annotated[int, Field(ge=60, le=1440)]
    """Minutes that are kept one by one; what is older is kept by the hour."""
    hours: Annotated[int, Field(ge=1, le=168)]
    """Hours that are kept."""
    max_operations: PositiveInt
    """Operations that are told apart; the rest of a category is one operation, `(other)`."""
    slowest: Annotated[int, Field(ge=0, le=100)]
    """The slowest spans of an operation and minute whose trace ids are kept."""
    relative_error: Annotated[float, Field(ge=0.001, le=0.1)]
    """By how much of its value a percentile may be off."""
    wait_ms: NonNegativeInt
    """Milliseconds that a summary may wait until spans that ended before it are counted."""
