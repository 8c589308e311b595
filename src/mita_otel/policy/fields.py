"""What the annotation of a setting can say beside its type: bounds, a unit, a check."""

import re
from collections.abc import Callable, Mapping, Sized
from typing import Annotated, Any

from mita_otel.policy.spelling import KeyPath


class Bounds:
    """Bounds of a number, or of the length of a text or list.

    Args:
        gt: The number is above this.
        ge: The number is at least this.
        lt: The number is below this.
        le: The number is at most this.
        min_length: Characters of a text, or members of a list, at least.
        max_length: Characters of a text, or members of a list, at most.
        pattern: A regular expression that is found in the text.
        unit: What the number counts, for messages, as in `milliseconds`.
    """

    def __init__(
        self,
        *,
        gt: float | None = None,
        ge: float | None = None,
        lt: float | None = None,
        le: float | None = None,
        min_length: int | None = None,
        max_length: int | None = None,
        pattern: str | None = None,
        unit: str = "",
    ) -> None:
        self.gt, self.ge, self.lt, self.le = gt, ge, lt, le
        self.min_length, self.max_length, self.pattern, self.unit = min_length, max_length, pattern, unit

    def allow(self, value: Any) -> bool:
        """Return whether the value, which has the right type, is within the bounds."""
        if isinstance(value, Sized):
            return (
                (self.min_length is None or len(value) >= self.min_length)
                and (self.max_length is None or len(value) <= self.max_length)
                and (self.pattern is None or re.search(self.pattern, str(value)) is not None)
            )
        return (
            (self.gt is None or value > self.gt)
            and (self.ge is None or value >= self.ge)
            and (self.lt is None or value < self.lt)
            and (self.le is None or value <= self.le)
        )


class Check:
    """A function that refuses a value.

    Args:
        function: Takes the value. Raises `ValueError` with what is wrong and the fix, or `InvalidKeys`.
    """

    def __init__(self, function: Callable[[Any], object]) -> None:
        self.function = function


class InvalidKeys(ValueError):  # noqa: N818 - names what it carries
    """Several keys of one table are wrong.

    Args:
        messages: By key below the table, what is wrong and the fix.
    """

    def __init__(self, messages: Mapping[KeyPath, str]) -> None:
        self.messages = dict(messages)
        super().__init__("; ".join(self.messages.values()))


PositiveInt = Annotated[int, Bounds(gt=0)]
NonNegativeInt = Annotated[int, Bounds(ge=0)]
Seconds = Annotated[float, Bounds(gt=0, le=3600)]
