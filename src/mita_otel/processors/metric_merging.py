"""Points that cannot be told apart any more, since what told them apart was secret, become one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from opentelemetry.sdk.metrics.export import Gauge, Histogram, Sum


def merged(data: Any, points: Sequence[Any]) -> list[Any]:
    """Return the points with one for each set of attributes.

    Sums and histograms with the same bounds are added up; of gauges the latest is kept. Exponential
    histograms stay as they are: their scales differ.

    Args:
        data: What the points are of.
        points: Its points, redacted.
    """
    merge = {Sum: _add_numbers, Gauge: _latest, Histogram: _add_histograms}.get(type(data))
    if merge is None:
        return list(points)
    groups: dict[Any, list[Any]] = {}
    for point in points:
        groups.setdefault((_identity(point.attributes), *_bounds(point)), []).append(point)
    return [group[0] if len(group) == 1 else merge(group) for group in groups.values()]


def _identity(attributes: Any) -> tuple[Any, ...]:
    return tuple(sorted((key, repr(value)) for key, value in (attributes or {}).items()))


def _bounds(point: Any) -> tuple[Any, ...]:
    return tuple(getattr(point, "explicit_bounds", ()))


def _add_numbers(points: list[Any]) -> Any:
    return _spanning(points, value=sum(point.value for point in points))


def _latest(points: list[Any]) -> Any:
    return max(reversed(points), key=lambda point: point.time_unix_nano)


def _add_histograms(points: list[Any]) -> Any:
    return _spanning(
        points,
        count=sum(point.count for point in points),
        sum=sum(point.sum for point in points),
        bucket_counts=[
            sum(counts) for counts in zip(*(point.bucket_counts for point in points), strict=True)
        ],
        min=min((point.min for point in points if point.min is not None), default=None),
        max=max((point.max for point in points if point.max is not None), default=None),
    )


def _spanning(points: list[Any], **values: Any) -> Any:
    return replace(
        points[0],
        start_time_unix_nano=min(point.start_time_unix_nano or 0 for point in points),
        time_unix_nano=max(point.time_unix_nano for point in points),
        exemplars=[exemplar for point in points for exemplar in point.exemplars],
        **values,
    )
