"""Slowness on demand: `?simulate_ms=350` makes the part that is slow in real life take that long."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query
from sqlalchemy import ScalarSelect, func, select

SimulatedDelay = Annotated[int, Query(ge=0, le=5000, description="Milliseconds of simulated slowness.")]


def slow_query(delay_ms: int) -> ScalarSelect[object]:
    """Return a column that keeps the database busy for that long, once a statement."""
    return select(func.pg_sleep(delay_ms / 1000)).scalar_subquery()
