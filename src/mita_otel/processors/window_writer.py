"""Writes finished latency windows to a store, on a separate thread."""

from __future__ import annotations

import logging
import threading

from mita_otel.errors import raise_interrupt
from mita_otel.latency.recorder import LatencyRecorder
from mita_otel.latency.window import LatencyWindow, WindowStore
from mita_otel.processors.queues.forks import after_fork_in_child
from mita_otel.processors.queues.losses import Losses
from mita_otel.processors.queues.stage import Stage, seconds_left
from mita_otel.processors.queues.worker import BoundedWorker

_logger = logging.getLogger("mita_otel")

_MAX_KEPT = 20_000
"""Windows that are held while the store cannot be reached. Beyond that the oldest are lost and counted."""


class WindowWriter(Stage):
    """Writes each window once. If the store fails, the windows are retried in the next minute.

    Args:
        recorder: The windows.
        losses: Counts lost windows.
    """

    def __init__(self, recorder: LatencyRecorder, losses: Losses) -> None:
        self.store: WindowStore | None = None
        """The store. None: windows are not stored."""
        self._recorder = recorder
        self._losses = losses
        self._failing = False
        self._draining = False
        self._worker: BoundedWorker[None] = BoundedWorker(
            lambda batch: self._write(everything=False),
            name="mita-otel-windows",
            max_items=4,
            max_batch=4,
            delay_s=0.1,
            on_flush=lambda left_s: self._write(everything=self._draining),
        )
        self._reset()
        after_fork_in_child(self._reset)

    def attach(self, store: WindowStore) -> None:
        """Write every later window to the store."""
        self.store = store
        self._recorder.on_minute = self.wake

    def wake(self) -> None:
        """Request that finished windows are written, without waiting."""
        self._worker.put(None)

    def pending(self) -> list[LatencyWindow]:
        """Return the windows that are not in the store yet, including the current minute."""
        with self._lock:
            return [*self._waiting, *self._recorder.pending()]

    def drain(self) -> None:
        """Write the current minute as well at the next flush: the process may be about to end."""
        self._draining = True

    def flush(self, deadline_s: float) -> bool:
        """Write finished windows. Returns False if that failed or the deadline passed first."""
        if self.store is None:
            return True
        return self._worker.flush(seconds_left(deadline_s)) and not self._failing

    def close(self) -> None:
        """Stop. Flush first: this does not wait for a listener or a store."""
        if self.store is not None:  # else the thread never ran
            self._worker.close()

    def _write(self, *, everything: bool) -> None:
        store = self.store
        if store is None:
            return
        with self._lock:
            self._waiting.extend(self._recorder.take_unwritten(everything=everything))
            lost = len(self._waiting) - _MAX_KEPT
            if lost > 0:
                del self._waiting[:lost]
                self._losses.add("latency_windows", "store_failed", lost)
            batch = list(self._waiting)
        if not batch:
            return
        try:
            store.write_windows(batch)
        except BaseException as error:  # noqa: BLE001 - a database may fail in any way
            raise_interrupt(error)
            if not self._failing:
                _logger.warning(
                    "latency windows could not be stored (%s); they are held and retried each minute",
                    type(error).__name__,
                )
            self._failing = True
            return
        self._failing = False
        with self._lock:
            del self._waiting[: len(batch)]

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[LatencyWindow] = []
