"""Recognises log records with which a framework reports an exception that the application did not handle."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

_FRAMEWORKS: Final = (
    *("flask", "django", "tornado", "aiohttp", "sanic"),
    *("waitress", "werkzeug", "gunicorn", "uvicorn", "hypercorn", "granian"),
    *("celery", "rq", "dramatiq", "huey", "apscheduler", "asyncio"),
)
"""Packages that log exceptions of the code that they call: web frameworks, servers, task queues, event loops."""
_HANDLED: Final = "django.security"
"""Start of the names of loggers whose exceptions Django answers with a status of 400."""


def mark_crash(event: Any, record: object) -> None:
    """Mark an event as unhandled if a framework logged its exception.

    sentry-sdk marks every logged exception as handled, and alert rules and release health then miss the crash.

    Args:
        event: Sentry's event. It is changed.
        record: The log record, if the event comes from one.
    """
    if not isinstance(record, logging.LogRecord) or not _is_crash(record):
        return
    for value in (event.get("exception") or {}).get("values") or ():
        mechanism = value.get("mechanism")
        if isinstance(mechanism, Mapping):
            value["mechanism"] = {**mechanism, "handled": False}


def _is_crash(record: logging.LogRecord) -> bool:
    if not record.exc_info or record.levelno < logging.ERROR or record.name.startswith(_HANDLED):
        return False
    return any(record.pathname.startswith(folder) for folder in map(_folder, _FRAMEWORKS) if folder)


def _folder(package: str) -> str:
    """Return the folder of an imported package, with a separator; empty if it is not imported."""
    file = getattr(sys.modules.get(package), "__file__", None)
    return f"{Path(file).parent}/" if file else ""
