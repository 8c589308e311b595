"""The section of a policy that says how long what is kept (the guide's Data Retention)."""

import re
from typing import Annotated, Literal, get_args

from mita_otel.policy.fields import Bounds, Check, InvalidKeys, PositiveInt
from mita_otel.policy.regulations import minimums
from mita_otel.policy.section import Section
from mita_otel.policy.spelling import KeyPath

_TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d\Z")


def _time_of_day(text: str) -> None:
    if not _TIME.match(text):
        raise ValueError(f"{text!r} is not a time of day; write it as in 03:15")


def _known(names: tuple[str, ...]) -> None:
    known = sorted({minimum.regulation for minimum in minimums()})
    for name in names:
        if name not in known:
            raise ValueError(f"{name!r} is not a regulation that is known here; known: {', '.join(known)}")


TimeOfDay = Annotated[str, Check(_time_of_day)]

DataClass = Literal["audit", "errors", "performance", "debug"]
"""What has a time of its own."""

DATA_CLASSES: tuple[DataClass, ...] = get_args(DataClass)


class RetentionPolicy(Section):
    """How long what is kept."""

    regulations: Annotated[tuple[str, ...], Check(_known)]
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
    max_batch: Annotated[int, Bounds(ge=1, le=100_000)]
    """Rows that are deleted in one transaction."""
    max_clock_ahead_days: PositiveInt
    """If the clock is further than this ahead of the newest entry, nothing is deleted: the clock is wrong."""
    minutes_after_days: PositiveInt
    """Days after which latency windows of a minute become windows of an hour."""
    hours_after_days: PositiveInt
    """Days after which latency windows of an hour become windows of a day."""

    def check(self) -> None:
        """Require at least the days that the regulations ask for."""
        wrong: dict[KeyPath, str] = {
            (f"{data}_days",): said for data in DATA_CLASSES if (said := self._too_short(data))
        }
        if wrong:
            raise InvalidKeys(wrong)

    def _too_short(self, data: DataClass) -> str:
        days = self.days(data)
        for minimum in minimums():
            if minimum.data == data and minimum.regulation in self.regulations and days < minimum.days:
                return (
                    f"{days} days are too short: {minimum.regulation} asks for {minimum.days} ({minimum.reason}). "
                    f"Keep them longer; only where {minimum.regulation} does not apply to you, take it out of "
                    "retention.regulations"
                )
        return ""

    def days(self, data: DataClass) -> int:
        """Return for how many days a class of data is kept."""
        return int(getattr(self, f"{data}_days"))
