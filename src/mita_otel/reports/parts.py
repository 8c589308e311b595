"""What every part of a report has in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """A part of a report. Times are UTC, durations milliseconds; null: there is nothing to tell."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
