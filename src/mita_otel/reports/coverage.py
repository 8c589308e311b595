"""Measurement coverage of a period, with one byte for each minute."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import groupby

from mita_otel.reports.model import Gap, MeasurementCoverage

_MINUTE_S = 60


class MeasuredMinutes:
    """Records the minutes in which a span ended.

    Args:
        start: Start of the period.
        end: End of the period, or now.
    """

    def __init__(self, start: datetime, end: datetime) -> None:
        self._start = start
        self._minutes = bytearray(max(0, int((end - start).total_seconds() // _MINUTE_S)))

    def add(self, start_s: float, length_s: float) -> None:
        """Record the minutes of a window."""
        first = int((start_s - self._start.timestamp()) // _MINUTE_S)
        last = min(len(self._minutes), first + max(1, int(length_s // _MINUTE_S)))
        first = max(0, first)
        if first < last:
            self._minutes[first:last] = b"\1" * (last - first)

    def coverage(
        self, *, relative_error: float, gap: timedelta, max_gaps: int, note: str
    ) -> MeasurementCoverage:
        """Return the measured minutes and the longest gaps."""
        first, last = self._minutes.find(b"\1"), self._minutes.rfind(b"\1")
        gaps = sorted(self._gaps(gap), key=lambda one: (one.start - one.end, one.start))
        return MeasurementCoverage(
            first=None if first < 0 else self._at(first),
            last=None if last < 0 else self._at(last + 1),
            minutes=len(self._minutes),
            minutes_measured=self._minutes.count(1),
            gaps=gaps[:max_gaps],
            relative_error=relative_error,
            note=note,
        )

    def _gaps(self, least: timedelta) -> Iterator[Gap]:
        at = 0
        for measured, run in groupby(self._minutes):
            length = sum(1 for _ in run)
            if not measured and timedelta(minutes=length) >= least:
                yield Gap(start=self._at(at), end=self._at(at + length))
            at += length

    def _at(self, minute: int) -> datetime:
        return (self._start + timedelta(minutes=minute)).astimezone(UTC)
