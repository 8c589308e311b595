"""Percentiles in fixed memory: durations are counted in buckets whose width is a fraction of their value (DDSketch).

The error is relative and guaranteed: with 0.01 a reported percentile is within 1 % of the true one. Sketches of different minutes and workers add up without a loss. The buckets are the library's
(`ddsketch`, VLDB 2019). This module adds a binary form and the bounds of durations.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable
from functools import lru_cache
from typing import Final, Self

from ddsketch.ddsketch import BaseDDSketch
from ddsketch.mapping import LogarithmicMapping
from ddsketch.store import CollapsingLowestDenseStore, DenseStore

_MAX_BUCKETS: Final = 4096
"""At 1 % error a nanosecond to 30 years takes 2,100. Further buckets are merged at the short end."""
_LONGEST_MS: Final = 1e12
_SHORTEST_MS: Final = 1e-6
_FORMAT: Final = 1
_HEAD: Final = struct.Struct("<BdQ")
_BUCKET: Final = struct.Struct("<hI")


class Sketch:
    """The distribution of durations.

    Args:
        relative_error: Relative error of a percentile, as in 0.01.
    """

    def __init__(self, relative_error: float) -> None:
        self.relative_error = relative_error
        self._store = CollapsingLowestDenseStore(_MAX_BUCKETS)
        self._buckets = BaseDDSketch(_mapping(relative_error), self._store, _NEGATIVE, 0.0)

    @property
    def count(self) -> int:
        """Number of durations."""
        return int(self._buckets.count)

    def add(self, duration_ms: float) -> None:
        """Add a duration in milliseconds.

        A negative one (a clock that was stepped) counts as nothing, as does one below a nanosecond.
        """
        self._buckets.add(0.0 if duration_ms < _SHORTEST_MS else min(duration_ms, _LONGEST_MS))

    def merge(self, other: Sketch) -> None:
        """Add the durations of another sketch.

        Raises:
            ValueError: The other one has another error.
        """
        self._buckets.merge(other._buckets)

    def percentile(self, percentile: float) -> float | None:
        """Return the percentile (0 to 100) in milliseconds, by nearest rank: of a few, the 99th is the slowest.

        None if there is nothing.
        """
        if not self.count:
            return None
        # The library takes the lower of two ranks, which of three payments would hide the slow one.
        rank = max(0, math.ceil(percentile * self.count / 100) - 1)
        value = self._buckets.get_quantile_value(min(1.0, (rank + 0.5) / max(1, self.count - 1)))
        return None if value is None else float(value)

    def pack(self) -> bytes:
        """Return the binary form: format, relative error, zeros, then key and count of each bucket."""
        store = self._store
        full = [(key + store.offset, int(count)) for key, count in enumerate(store.bins) if count]
        zeros = self.count - sum(count for _, count in full)
        return _HEAD.pack(_FORMAT, self.relative_error, zeros) + b"".join(
            _BUCKET.pack(key, min(count, 0xFFFFFFFF)) for key, count in full
        )

    @classmethod
    def unpack(cls, packed: bytes) -> Self:
        """Return the sketch of a binary form.

        Raises:
            ValueError: It is not a sketch, or has a later version.
        """
        if len(packed) < _HEAD.size or (len(packed) - _HEAD.size) % _BUCKET.size:
            raise ValueError(f"{len(packed)} bytes are not a sketch")
        version, relative_error, zeros = _HEAD.unpack_from(packed)
        if version != _FORMAT:
            raise ValueError(f"a sketch of format {version}; format {_FORMAT} is known")
        if not 0 < relative_error < 1:
            raise ValueError(f"a sketch with a relative error of {relative_error}")
        sketch = cls(relative_error)
        _fill(sketch._store, list(_BUCKET.iter_unpack(packed[_HEAD.size :])))
        sketch._buckets = BaseDDSketch(_mapping(relative_error), sketch._store, _NEGATIVE, float(zeros))
        return sketch


def merged(sketches: Iterable[bytes], relative_error: float) -> Sketch:
    """Return the sum of packed sketches. One with another error (the policy was changed) is added bucket by bucket."""
    total = Sketch(relative_error)
    for packed in sketches:
        sketch = Sketch.unpack(packed)
        if sketch.relative_error == relative_error:
            total.merge(sketch)
        else:
            total._buckets.merge(_converted(sketch, relative_error)._buckets)
    return total


class SketchSum:
    """Adds up many packed sketches, bucket by bucket, quicker than one sketch after the other.

    Args:
        relative_error: That of the sum.
    """

    __slots__ = ("_buckets", "_relative_error", "_zeros")

    def __init__(self, relative_error: float) -> None:
        self._relative_error = relative_error
        self._zeros = 0
        self._buckets: dict[int, int] = {}

    def add(self, zeros: int, buckets: list[tuple[int, int]]) -> None:
        """Add what `buckets_of` read."""
        self._zeros += zeros
        mine = self._buckets
        for key, count in buckets:
            mine[key] = mine.get(key, 0) + count

    def sketch(self) -> Sketch:
        """Return the sum."""
        sketch = Sketch(self._relative_error)
        _fill(sketch._store, list(self._buckets.items()))
        mapping = _mapping(self._relative_error)
        sketch._buckets = BaseDDSketch(mapping, sketch._store, _NEGATIVE, float(self._zeros))
        return sketch


def buckets_of(packed: bytes, relative_error: float) -> tuple[int, list[tuple[int, int]]]:
    """Return the zeros of a packed sketch, and key and count of each bucket, for sums with a relative error.

    Raises:
        ValueError: It is no packed sketch, or one of a later version.
    """
    if len(packed) < _HEAD.size or (len(packed) - _HEAD.size) % _BUCKET.size:
        raise ValueError(f"{len(packed)} bytes are not a sketch")
    version, error, zeros = _HEAD.unpack_from(packed)
    if version != _FORMAT or error != relative_error:
        return buckets_of(merged([packed], relative_error).pack(), relative_error)
    return zeros, list(_BUCKET.iter_unpack(packed[_HEAD.size :]))


def _converted(sketch: Sketch, relative_error: float) -> Sketch:
    """Return the sketch with other buckets; the errors add up."""
    converted = Sketch(relative_error)
    mapping = _mapping(sketch.relative_error)
    store, full = sketch._store, 0
    for index, count in enumerate(store.bins):
        if count:
            full += int(count)
            converted._buckets.add(mapping.value(index + store.offset), count)
    if sketch.count > full:
        converted._buckets.add(0.0, float(sketch.count - full))
    return converted


def _fill(store: CollapsingLowestDenseStore, buckets: list[tuple[int, int]]) -> None:
    """Put counts into an empty store, all at once where they fit."""
    if not buckets:
        return
    lowest, highest = min(buckets)[0], max(buckets)[0]
    if highest - lowest >= _MAX_BUCKETS:
        for key, count in buckets:
            store.add(key, count)
        return
    store.bins = [0.0] * (highest - lowest + 1)
    store.offset = store.min_key = lowest
    store.max_key = highest
    for key, count in buckets:
        store.bins[key - lowest] += count
        store.count += count


_NEGATIVE: Final = DenseStore()
"""Where negative numbers would go. There are none, so that every sketch can share it."""


@lru_cache(maxsize=8)
def _mapping(relative_error: float) -> LogarithmicMapping:
    """Return the mapping from durations to buckets, one for all sketches of an error."""
    return LogarithmicMapping(relative_error)
