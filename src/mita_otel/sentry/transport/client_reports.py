"""Client reports: number of discarded items by category and reason. Sentry shows them in its statistics.

Source: Sentry's client reports.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

from sentry_sdk.envelope import Item, PayloadRef

from mita_otel._json import json_bytes
from mita_otel.processors.queues.forks import ForkSafeLock, after_fork_in_child
from mita_otel.sentry.transport.envelope_items import quantities_of


class ClientReports:
    """Counts discarded items until the next report; thread-safe.

    Args:
        enabled: Whether reports are created (sentry-sdk's option `send_client_reports`).
        clock: Returns seconds since the epoch.
    """

    def __init__(self, *, enabled: bool = True, clock: Callable[[], float] = time.time) -> None:
        self._enabled = enabled
        self._clock = clock
        self._lock = ForkSafeLock()
        self._reset()
        after_fork_in_child(self._reset)

    def _reset(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()
        self._last_s = self._clock()

    def add(self, reason: str, category: str, quantity: int = 1) -> None:
        """Count discarded items of one category."""
        if self._enabled and quantity > 0:
            with self._lock:
                self._counts[category, reason] += quantity

    def add_item(self, reason: str, item: Item) -> None:
        """Count a discarded item in each of its categories."""
        for category, quantity in quantities_of(item):
            if category != "internal":
                self.add(reason, category, quantity)

    def take(self, min_interval_s: float = 0) -> Item | None:
        """Return a report of the items counted since the last report, or None if there are no such items.

        Args:
            min_interval_s: Minimum seconds between two reports. Before that, None is returned.
        """
        with self._lock:
            now = self._clock()
            if not self._counts or now - self._last_s < min_interval_s:
                return None
            counts, self._counts, self._last_s = self._counts, Counter(), now
        discarded = [
            {"reason": reason, "category": category, "quantity": quantity}
            for (category, reason), quantity in counts.items()
        ]
        payload = json_bytes({"timestamp": now, "discarded_events": discarded})
        return _Report(counts, PayloadRef(bytes=payload), type="client_report")

    def restore(self, item: Item) -> None:
        """Count the content of a report again, because it did not arrive. Ignore other items."""
        if isinstance(item, _Report):
            with self._lock:
                self._counts.update(item.counts)


class _Report(Item):
    """A report with its counts."""

    def __init__(self, counts: Counter[tuple[str, str]], payload: PayloadRef, **options: str) -> None:
        super().__init__(payload, **options)  # type: ignore[arg-type]
        self.counts = counts
