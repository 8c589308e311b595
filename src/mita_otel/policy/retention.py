"""The section of a policy that says how long what is kept (the guide's Data Retention)."""

from __future__ import annotations

import re
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, Field, PositiveInt, ValidationInfo, field_validator

from mita_otel.policy.regulations import minimums
from mita_otel.policy.sections import Section

_TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d\Z")


def _time_of_day(text: str) -> str:
    if not _TIME.match(text):
        raise ValueError(f"{text!r} is not a time of day; write it as in 03:15")
    return text


TimeOfDay = Annotated[str, AfterValidator(_time_of_day)]

DataClass = Literal["audit", "errors", "performance", "debug"]
"""What has a time of its own."""

DATA_CLASSES: tuple[DataClass, ...] = get_args(DataClass)


class RetentionPolicy(Section):
    """How long what is kept."""

    regulations: tuple[str, ...]
    """Regulations that apply: what they ask for cannot be shortened. Take one out only if it does not apply."""
    audit_days: PositiveInt
    """Days that audit entries are kept."""
    errors_days: PositiveInt
    """Days that errors, security and compliance events are kept."""
    performance_days: PositiveInt
    """Days that latency windows, breaches and counts of redactions are kept."""
    debug_days: PositiveInt
    """Days that single traces are kept."""
    schedule: Literal["off", "daily"]
    """`daily`: one process of all deletes what has had its time. `off`: cron runs `mita-otel retention apply`."""
    at: TimeOfDay
    """When, UTC, as in `03:15`."""
    max_batch: Annotated[int, Field(ge=1, le=100_000)]
    """Rows that are deleted in one transaction."""
    max_clock_ahead_days: PositiveInt
    """If the clock is further than this ahead of the newest entry, nothing is deleted: the clock is wrong."""
    minutes_after_days: PositiveInt
    """Days after which latency windows of a minute become windows of an hour."""
    hours_after_days: PositiveInt
    """Days after which latency windows of an hour become windows of a day."""

    @field_validator("regulations")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        known = sorted({minimum.regulation for minimum in minimums()})
        for name in names:
            if name not in known:
                raise ValueError(
                    f"{name!r} is not a regulation that is known here; known: {', '.join(known)}"
                )
        return names

    @field_validator("audit_days", "errors_days", "performance_days", "debug_days")
    @classmethod
    def _long_enough(cls, days: int, info: ValidationInfo) -> int:
        data = str(info.field_name).removesuffix("_days")
        for minimum in minimums():
            applies = minimum.data == data and minimum.regulation in info.data.get("regulations", ())
            if applies and days < minimum.days:
                raise ValueError(
                    f"{days} days are too short: {minimum.regulation} asks for {minimum.days} ({minimum.reason}). "
                    f"Keep them longer; only where {minimum.regulation} does not apply to you, take it out of "
                    "retention.regulations"
                )
        return days

    def days(self, data: DataClass) -> int:
        """Return for how many days a class of data is kept."""
        return int(getattr(self, f"{data}_days"))
