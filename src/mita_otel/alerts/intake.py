"""Where alerts hear of single events: log records of errors and events, and broken limits. Quick, and it never raises."""

from __future__ import annotations

import logging
from collections.abc import Callable

from opentelemetry.sdk._logs import LogRecordProcessor, ReadWriteLogRecord

from mita_otel.alerts.signal import Signal, signal_of_breach, signal_of_record
from mita_otel.policy.alerts import Stream
from mita_otel.processors.breach_signal import BreachReport

_logger = logging.getLogger("mita_otel.alerts")


class AlertIntake(LogRecordProcessor):
    """Takes raw log records, on the thread that emits them, and reports of broken limits.

    Args:
        take: Queues a signal, and returns at once.
        streams: What any rule counts one by one.
    """

    def __init__(self, take: Callable[[Signal], None], streams: frozenset[Stream]) -> None:
        self._take = take
        self.streams = streams
        """What any rule counts one by one."""

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Take the record's signal, if it is one that rules count."""
        try:
            signal = signal_of_record(log_record)
            if signal is not None and signal.stream in self.streams:
                self._take(signal)
        except Exception:
            _logger.debug("an event could not be counted", exc_info=True)

    def on_error(self, signal: Signal, /) -> None:
        """Take an error that is no log record here: a mobile app's."""
        if signal.stream in self.streams:
            self._take(signal)

    def on_breach(self, report: BreachReport, /) -> None:
        """Take a broken limit."""
        self._take(signal_of_breach(report))

    def shutdown(self) -> None:
        """Do nothing: the engine ends by itself."""

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Return True: the engine is flushed by itself."""
        return True
