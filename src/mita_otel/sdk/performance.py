"""The performance of the service: summaries, burn rates, and listeners to breaches."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from mita_otel.errors import raise_interrupt
from mita_otel.latency.burn import BurnRate
from mita_otel.latency.facts import PerformanceCategory
from mita_otel.latency.summary import Coverage, summarise
from mita_otel.latency.window import LatencyWindow, WindowStore
from mita_otel.policy.storage import SummaryPolicy
from mita_otel.processors.breach_signal import BreachListener, BreachSignal
from mita_otel.processors.pipeline import Measurements
from mita_otel.processors.window_writer import WindowWriter

_logger = logging.getLogger("mita_otel")

_HOUR_S = 3600


class Performance:
    """The performance of the service. Thread-safe.

    Args:
        policy: How far back this process remembers.
        measurements: What is counted of every span.
        sample_rate: The share of spans that is counted at all.
        catch_up: Waits, for at most the seconds that it is given, until all spans that have ended are counted.
        clock: Seconds since the epoch.
    """

    def __init__(
        self,
        policy: SummaryPolicy,
        measurements: Measurements,
        sample_rate: float,
        *,
        catch_up: Callable[[float], object] = lambda _timeout_s: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._policy = policy
        self._measurements = measurements
        self._sample_rate = sample_rate
        self._catch_up = catch_up
        self._clock = clock

    def summary(
        self, last_hours: float = 1, category: PerformanceCategory | str | None = None
    ) -> dict[str, Any]:
        """Return the performance summary of the last hours; see `mita_otel.get_performance_summary`.

        Args:
            last_hours: Hours to look back on.
            category: One category alone. None: all.

        Raises:
            ValueError: `last_hours` is not above 0, or there is no such category.
        """
        kind = checked(last_hours, category)
        self._catch_up(self._policy.wait_ms / 1000)
        end_s = self._clock()
        windows, is_shared = self._windows(end_s - last_hours * _HOUR_S)
        chosen = [one for one in windows if kind is None or one.kind == kind]
        coverage = Coverage(
            # A window may have begun before: all of it counts.
            start_s=min([end_s - last_hours * _HOUR_S, *(one.start_s for one in chosen)]),
            end_s=end_s,
            scope="all_workers" if is_shared else "process",
            sample_rate=self._sample_rate,
            relative_error=self._policy.relative_error,
        )
        return summarise(chosen, coverage)

    def burn_rates(self) -> list[BurnRate]:
        """Return how fast each limit's error budget goes, by rule and pair of windows; of this process."""
        return self._measurements.ledger.burn_rates()

    def on_breach(self, listener: BreachListener) -> None:
        """Report every breach from now on to a listener, on a separate thread."""
        self._measurements.signal.subscribe(listener)

    def keep_windows(self, store: WindowStore) -> None:
        """Write each minute's windows to a store, and read summaries from it: they are of all workers then."""
        self._measurements.writer.attach(store)

    @property
    def measurements(self) -> Measurements:
        """What is counted of every span, also of spans that come another way than through the pipeline."""
        return self._measurements

    @property
    def stages(self) -> tuple[WindowWriter, BreachSignal]:
        """The stages that write windows and notify listeners."""
        return (self._measurements.writer, self._measurements.signal)

    def _windows(self, since_s: float) -> tuple[list[LatencyWindow], bool]:
        """Return the windows since then, and whether they are of all workers."""
        writer, store = self._measurements.writer, self._measurements.writer.store
        if store is not None:
            # Before the store is read: a window that is written meanwhile is there twice rather than not at all.
            pending = [one for one in writer.pending() if one.start_s + one.length_s > since_s]
            try:
                stored = list(store.read_windows(since_s - since_s % 60, self._clock() + 60))
            except BaseException as error:  # noqa: BLE001 - a database may fail in any way
                raise_interrupt(error)
                _logger.warning(
                    "latency windows could not be read (%s); the summary is of this process alone",
                    type(error).__name__,
                )
            else:
                return [*stored, *pending], True
        return self._measurements.recorder.windows(since_s), False


def checked(last_hours: float, category: PerformanceCategory | str | None) -> str | None:
    """Return the category's name, or None for all.

    Raises:
        ValueError: `last_hours` is not above 0, or there is no such category.
    """
    if not last_hours > 0:
        raise ValueError(f"last_hours is {last_hours!r}; it has to be above 0")
    if category is None:
        return None
    try:
        return PerformanceCategory(category).value
    except ValueError:
        known = ", ".join(one.value for one in PerformanceCategory)
        raise ValueError(f"there is no category {category!r}; known: {known}") from None
