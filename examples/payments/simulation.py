"""Simulated delays: `?simulate_ms=350` delays the step of a route that is slow in practice."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query
from sqlalchemy import ScalarSelect, func, select

SimulatedDelay = Annotated[int, Query(ge=0, le=5000, description="Simulated delay in milliseconds.")]


def slow_query(delay_ms: int) -> ScalarSelect[object]:
    """Return a column that delays its statement once by `delay_ms`."""
    return select(func.pg_sleep(delay_ms / 1000)).scalar_subquery()
