"""The configuration is logged once, by the application's logging or otherwise the server's."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from mita_otel.sdk.start_line import StartLine


class Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def remove_handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove all handlers, as if logging was not configured. (pytest adds some before each test.)"""
    for name in ("mita_otel", "uvicorn.error", "gunicorn.error"):
        monkeypatch.setattr(logging.getLogger(name), "propagate", False)
        monkeypatch.setattr(logging.getLogger(name), "handlers", [])


@pytest.fixture(params=["uvicorn.error", "gunicorn.error"])
def server(request: pytest.FixtureRequest) -> Iterator[logging.Logger]:
    logger = logging.getLogger(request.param)
    level = logger.level
    logger.setLevel(logging.INFO)
    yield logger
    logger.setLevel(level)


def test_the_applications_logging_receives_the_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "mita_otel"):
        StartLine("ready").start()
    assert caplog.messages == ["ready"]


def test_the_configured_logging_of_the_server_receives_the_line(
    monkeypatch: pytest.MonkeyPatch, server: logging.Logger
) -> None:
    remove_handlers(monkeypatch)
    handler = Lines()
    server.handlers.append(handler)
    line = StartLine("ready")
    line.start()
    assert handler.lines == ["ready"]


def test_a_server_that_configures_its_logging_later_receives_the_line_on_start(
    monkeypatch: pytest.MonkeyPatch, server: logging.Logger
) -> None:
    remove_handlers(monkeypatch)
    line = StartLine("ready")
    handler = Lines()
    server.handlers.append(handler)
    assert handler.lines == []
    line.start()
    line.start()
    assert handler.lines == ["ready"]


def test_without_logging_nothing_is_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    remove_handlers(monkeypatch)
    StartLine("ready").start()
    assert capsys.readouterr() == ("", "")
