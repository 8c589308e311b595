"""Fingerprints: errors with the same category, type and place in the application's code are one issue.

Messages (ids, amounts, addresses) and the frames of libraries vary; the failed function of the application does
not. The outage of a payment gateway is one issue, however many payments fail.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from functools import lru_cache
from pathlib import Path
from types import FrameType

_LIBRARIES = tuple(
    {
        path
        for name in ("stdlib", "platstdlib", "purelib", "platlib")
        if (path := sysconfig.get_paths().get(name))
    }
)
_PACKAGES = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
_OURS = f"{Path(__file__).parents[1]}{os.sep}"
_MAX_FRAMES = 1000


def fingerprint(exception: BaseException, category: str) -> list[str]:
    """Return the fingerprint of an error.

    Args:
        exception: The exception, raised or not.
        category: Its category.

    Returns:
        For example `["payment_processing", "httpx.ConnectError", "bank.gateway.charge"]`.
    """
    kind = type(exception)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return [category, name, place_of(exception)]


def place_of(exception: BaseException) -> str:
    """Return the innermost function of the application in the traceback.

    For an exception that was never raised, return the running function; for one from libraries only, the library's
    function.
    """
    found, last = None, None
    entry = exception.__traceback__
    for _ in range(_MAX_FRAMES):
        if entry is None:
            break
        last = entry.tb_frame
        if is_application(last.f_code.co_filename):
            found = last
        entry = entry.tb_next
    frame = found or last or _caller()
    return "" if frame is None else f"{frame.f_globals.get('__name__', '?')}.{frame.f_code.co_qualname}"


@lru_cache(maxsize=4096)
def is_application(filename: str) -> bool:
    """Return whether a file belongs to the application, not to the standard library, a package or mita-otel."""
    return not filename.startswith(("<", _OURS, *_LIBRARIES)) and not any(
        part in filename for part in _PACKAGES
    )


def _caller() -> FrameType | None:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and not is_application(frame.f_code.co_filename):
        frame = frame.f_back
    return frame
