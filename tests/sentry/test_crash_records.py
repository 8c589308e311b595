"""An exception that a framework logs was not handled by the application."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from mita_otel.sentry.crash_records import mark_crash


@pytest.mark.parametrize(
    ("folder", "name", "level", "with_exception", "handled"),
    [
        ("celery", "celery.app.trace", logging.ERROR, True, False),
        ("celery", "celery.app.trace", logging.INFO, True, True),
        ("celery", "celery.app.trace", logging.ERROR, False, True),
        ("celery", "django.security.DisallowedHost", logging.ERROR, True, True),
        ("celery_jobs", "jobs", logging.ERROR, True, True),
    ],
)
def test_an_exception_logged_by_a_framework_is_unhandled(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    folder: str,
    name: str,
    level: int,
    with_exception: bool,
    handled: bool,
) -> None:
    package = ModuleType("celery")
    package.__file__ = str(tmp_path / "celery" / "__init__.py")
    monkeypatch.setitem(sys.modules, "celery", package)
    error = ValueError("no")
    info = (ValueError, error, None) if with_exception else None
    record = logging.LogRecord(name, level, str(tmp_path / folder / "app.py"), 1, "failed", (), info)
    event: dict[str, Any] = {
        "exception": {"values": [{"type": "KeyError"}, {"mechanism": {"type": "logging", "handled": True}}]}
    }
    mark_crash(event, record)
    inner, outer = event["exception"]["values"]
    assert inner == {"type": "KeyError"}
    assert outer["mechanism"] == {"type": "logging", "handled": handled}


@pytest.mark.parametrize("event", [{}, {"exception": None}, {"exception": {"values": None}}])
def test_an_event_without_an_exception_is_unchanged(event: dict[str, Any]) -> None:
    before = dict(event)
    file = str(Path(logging.__file__).parent.parent / "asyncio" / "base_events.py")
    record = logging.LogRecord(
        "asyncio", logging.ERROR, file, 1, "failed", (), (ValueError, ValueError(), None)
    )
    mark_crash(event, record)
    mark_crash(event, None)
    assert event == before
