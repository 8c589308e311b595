"""The section of a policy that says how much is remembered for summaries of performance."""

from typing import Annotated

from mita_otel.policy.fields import Bounds, NonNegativeInt, PositiveInt
from mita_otel.policy.section import Section


class SummaryPolicy(Section):
    """What `get_performance_summary` can look back on. Memory is bounded by these numbers."""

    minutes: Annotated[int, Bounds(ge=60, le=1440)]
    """Minutes that are kept one by one; what is older is kept by the hour."""
    hours: Annotated[int, Bounds(ge=1, le=168)]
    """Hours that are kept."""
    max_operations: PositiveInt
    """Operations that are told apart; the rest of a category is one operation, `(other)`."""
    slowest: Annotated[int, Bounds(ge=0, le=100)]
    """The slowest spans of an operation and minute whose trace ids are kept."""
    relative_error: Annotated[float, Bounds(ge=0.001, le=0.1)]
    """By how much of its value a percentile may be off."""
    wait_ms: NonNegativeInt
    """Milliseconds that a summary may wait until spans that ended before it are counted."""
