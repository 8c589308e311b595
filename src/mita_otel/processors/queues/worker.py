"""A bounded queue and the thread that empties it, so that work leaves the request's thread."""

from __future__ import annotations

import contextvars
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final, Generic, TypeVar

from mita_otel.errors import raise_interrupt
from mita_otel.processors.queues.forks import after_fork_in_child, after_monkey_patch

_logger = logging.getLogger("mita_otel")

T = TypeVar("T")

_CLOSE_S: Final = 1.0
"""Seconds that `close` waits for an idle thread to end."""
_JOIN_S: Final = 1.0
"""Seconds that a thread may take to return after its last step. It needs microseconds."""


class BoundedWorker(Generic[T]):
    """Passes items to `handle`, in batches, on its own daemon thread.

    `put` never blocks: a full queue refuses items. `flush` and `stop` keep their deadline whatever `handle` does. The
    thread survives every exception of `handle` and of the other callbacks. `stop` or `close` ends it. After a fork the
    child starts empty, since the items belong to the parent.

    Args:
        handle: Receives each batch, in order, never two at a time.
        name: Name of the thread.
        max_items: Items that may wait.
        max_batch: Items of one batch.
        delay_s: Seconds that an item waits for a batch to fill.
        on_flush: Called on the worker's thread with the seconds left, when every item that was put before a flush has
            been handled. Returns False if it was late.
        on_stop: Called on the worker's thread before it ends.
        on_idle: Called on the worker's thread every `idle_s` seconds in which no item was put.
        idle_s: See `on_idle`.
    """

    def __init__(
        self,
        handle: Callable[[list[T]], None],
        *,
        name: str,
        max_items: int,
        max_batch: int,
        delay_s: float,
        on_flush: Callable[[float], object] | None = None,
        on_stop: Callable[[], None] | None = None,
        on_idle: Callable[[], None] | None = None,
        idle_s: float | None = None,
    ) -> None:
        self._handle = handle
        self._name = name
        self._max_items = max_items
        self._max_batch = max_batch
        self._delay_s = min(delay_s, threading.TIMEOUT_MAX)
        self._on_flush = on_flush
        self._on_stop = on_stop
        self._on_idle = on_idle
        self._reported: set[str] = set()
        self._idle_s = idle_s if on_idle is not None else None
        self._reset()
        after_fork_in_child(self._reset)
        after_monkey_patch(self._renew_locks)

    def _renew_locks(self) -> None:
        if self._thread is None:
            # A re-entrant lock: a signal handler may flush on the very thread that is putting.
            self._changed = threading.Condition(threading.RLock())
            self._stopped = threading.Event()

    def _reset(self) -> None:
        self._thread: threading.Thread | None = None
        self._renew_locks()
        self._items: deque[T] = deque()
        self._accepted = 0
        self._handled = 0
        self._settled_early = 0
        self._counted_as_lost = 0
        self._flush_wanted = 0
        self._flush_done = 0
        self._flush_made_it = True
        self._flush_target = 0
        self._flush_deadline = 0.0
        self._stopping = False
        self._late = False

    @property
    def waiting(self) -> int:
        """Number of queued items."""
        return len(self._items)

    @property
    def unfinished(self) -> int:
        """Number of queued items and of items that are being handled."""
        return self._accepted - self._handled

    @property
    def full(self) -> bool:
        """Whether an item would be refused."""
        return len(self._items) >= self._max_items

    @property
    def stopping(self) -> bool:
        """Whether every item is refused, since the worker was stopped."""
        return self._stopping

    @property
    def started(self) -> bool:
        """Whether the thread runs, or has run."""
        return self._thread is not None

    def start(self) -> None:
        """Start the thread if it does not run. An interpreter that exits cannot start one."""
        if self._thread is not None or self._stopping:
            return
        with self._changed:
            if self._thread is None and not self._stopping:
                thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                try:
                    # In an empty context: the current one may be a request's, which ends before the thread.
                    contextvars.Context().run(thread.start)
                except RuntimeError:  # the interpreter exits: `flush` does the work itself
                    return
                self._thread = thread

    def put(self, item: T) -> bool:
        """Take an item, or return False if the queue is full or the worker was stopped."""
        with self._changed:
            waiting = len(self._items)
            if self._stopping or waiting >= self._max_items:
                return False
            self._items.append(item)
            self._accepted += 1
            if waiting == 0 or waiting + 1 == self._max_batch:
                self._changed.notify_all()
        if self._thread is None:
            self.start()
        return True

    def flush_async(self, timeout_s: float) -> None:
        """Begin to handle all queued items, and return at once."""
        with self._changed:
            self._flush_wanted += 1
            self._flush_target = self._accepted
            self._flush_deadline = time.monotonic() + timeout_s
            self._changed.notify_all()
        if self._thread or self._items or self._on_flush:  # else there is nothing to flush
            self.start()

    def flush(self, timeout_s: float) -> bool:
        """Wait until every item that was put before has been handled. Returns False if that took too long."""
        deadline = time.monotonic() + timeout_s
        self.flush_async(timeout_s)
        if self._thread is None:
            flushed = self._handle_here(deadline)
        else:
            with self._changed:
                wanted = self._flush_wanted
                done = self._changed.wait_for(lambda: self._flush_done >= wanted, max(0.0, timeout_s))
                flushed = done and self._flush_made_it
        self._late = not flushed
        return flushed

    def stop(self, timeout_s: float) -> bool:
        """Flush, then end the thread. Later items are refused. Returns False if that took too long."""
        deadline = time.monotonic() + timeout_s
        flushed = not self._is_needed or self.flush(timeout_s)
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        thread = self._thread
        if thread is None:
            return flushed
        ended = self._stopped.wait(max(0.0, deadline - time.monotonic()))
        if ended and thread is not threading.current_thread():
            thread.join(_JOIN_S)
        return ended and flushed

    def close(self) -> None:
        """Stop. Waits a moment for the thread to end, but not at all if the last flush was late."""
        self.stop(0 if self._late else _CLOSE_S)

    def count_as_lost(self) -> int:
        """Return how many unfinished items there are, each counted in one call only.

        They are still handled while the process lives; `settle` then leaves them out of its count.
        """
        with self._changed:
            more = max(0, self.unfinished - self._counted_as_lost)
            self._counted_as_lost += more
            return more

    def settle(self, count: int) -> int:
        """Finish items inside `handle`. Returns how many of them were not counted as lost before.

        This is one step, so that no item is counted both by `count_as_lost` and by its handler.
        """
        with self._changed:
            counted_before = min(count, self._counted_as_lost)
            self._counted_as_lost -= counted_before
            self._handled += count
            self._settled_early += count
            return count - counted_before

    def discard(self) -> int:
        """Drop all queued items. Returns how many unfinished items were not counted as lost before."""
        with self._changed:
            more = self.count_as_lost()
            self._handled += len(self._items)
            self._counted_as_lost -= len(self._items)
            self._items.clear()
            self._changed.notify_all()
            return more

    @property
    def _is_needed(self) -> bool:
        """Whether there is anything to flush or to end."""
        return bool(self._thread or self._items or self._on_flush or self._on_stop)

    def _handle_here(self, deadline: float) -> bool:
        while self._items and time.monotonic() < deadline:
            batch = self._take()
            try:
                self._call(batch)
            except BaseException as error:
                raise_interrupt(error)
                _logger.exception("%s: a batch of %d was lost", self._name, len(batch))
        made_it = self._on_flush is None or self._on_flush(max(0.0, deadline - time.monotonic())) is not False
        return made_it and not self._items

    def _take(self) -> list[T]:
        with self._changed:
            if self.full:
                self._changed.notify_all()
            return [self._items.popleft() for _ in range(min(self._max_batch, len(self._items)))]

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._items and not self.flushing:
                    self._changed.wait(self._idle_s)
                if self._items and not self.flushing and len(self._items) < self._max_batch:
                    self._changed.wait_for(
                        lambda: self.flushing or len(self._items) >= self._max_batch, self._delay_s
                    )
                stopping = self._stopping
            batch = self._take()
            if batch:
                self._quietly(partial(self._call, batch), f"a batch of {len(batch)} was lost")
            elif self._on_idle is not None:
                self._quietly(self._on_idle, "idle work failed")
            self._finish_flush()
            if stopping and not self._items:
                break
        if self._on_stop is not None:
            self._quietly(self._on_stop, "shutdown failed")
        self._stopped.set()

    def _quietly(self, call: Callable[[], None], what: str) -> None:
        try:
            call()
        except BaseException:  # an exception must not end the thread: not a CancelledError, nor a Rust panic
            kind = what.partition(" of ")[0]
            level = logging.DEBUG if kind in self._reported else logging.ERROR
            self._reported.add(kind)
            _logger.log(level, "%s: %s; further failures are not reported", self._name, what, exc_info=True)

    @property
    def flushing(self) -> bool:
        """Whether a flush waits."""
        return self._stopping or self._flush_done < self._flush_wanted

    def _call(self, batch: list[T]) -> None:
        try:
            self._handle(batch)
        finally:
            with self._changed:
                self.settle(len(batch) - self._settled_early)
                self._settled_early = 0

    def _finish_flush(self) -> None:
        with self._changed:
            wanted, left_s = self._flush_wanted, self._flush_deadline - time.monotonic()
            if self._flush_done >= wanted or self._handled < self._flush_target:
                return
        made_it = True
        if self._on_flush is not None:
            try:
                made_it = self._on_flush(max(0.0, left_s)) is not False
            except BaseException:
                made_it = False
                _logger.exception("%s: flush failed", self._name)
        with self._changed:
            self._flush_made_it = made_it
            self._flush_done = wanted
            self._changed.notify_all()
