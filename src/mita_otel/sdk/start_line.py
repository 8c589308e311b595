"""Logs the effective configuration once, so that it is visible with the default logging of uvicorn and gunicorn."""

from __future__ import annotations

import logging
from typing import Final

from mita_otel.processors.queues.forks import FORKS
from mita_otel.processors.queues.stage import Stage

_logger = logging.getLogger("mita_otel")

_OF_SERVERS: Final = ("uvicorn.error", "gunicorn.error")
"""Loggers of servers. They show lines of level INFO, while the root logger has no handler by default."""


class StartLine(Stage):
    """A line of level INFO.

    If the application has no handler for it, the server's logger is used. `opentelemetry-instrument` configures telemetry
    before the server configures its logging, so the line is tried again when the application starts to serve, and in a
    worker after the fork.

    Args:
        text: The line.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._shown = False
        self.start()
        if not self._shown:
            FORKS.add(in_child=self.start)

    def start(self) -> None:
        """Log the line unless it was logged before."""
        if self._shown:
            return
        if _logger.hasHandlers():
            _logger.info("%s", self._text)
            self._shown = True
            return
        for logger in map(logging.getLogger, _OF_SERVERS):
            if logger.hasHandlers() and logger.isEnabledFor(logging.INFO):
                logger.info("%s", self._text)
                self._shown = True
                return
