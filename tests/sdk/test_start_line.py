"""The line about the configuration is logged once, by the application's logging or else the server's."""

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
    """Leave no handler, as in a process whose logging is not configured. (pytest adds some before each test runs.)"""
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


def test_the_applications_logging_shows_it(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "mita_otel"):
        StartLine("ready").start()
    assert caplog.messages == ["ready"]


def test_a_server_that_has_configured_its_logging_shows_it(
    monkeypatch: pytest.MonkeyPatch, server: logging.Logger
) -> None:
    remove_handlers(monkeypatch)
    handler = Lines()
    server.handlers.append(handler)
    line = StartLine("ready")
    line.start()
    assert handler.lines == ["ready"]


def test_a_server_that_configures_its_logging_later_shows_it_when_it_starts_to_serve(
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


def test_without_any_logging_nothing_is_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    remove_handlers(monkeypatch)
    StartLine("ready").start()
    assert capsys.readouterr() == ("", "")
