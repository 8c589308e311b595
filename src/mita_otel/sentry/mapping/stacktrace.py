"""Stack traces: of a live exception, and of the text that OpenTelemetry keeps of one."""

from __future__ import annotations

import re
from types import TracebackType
from typing import Any, Final

_FRAME: Final = re.compile(r'^ {2}File "([^"\n]*)", line (\d+)(?:, in (.*))?$')
_GROUP_MARGIN: Final = "  | "
_MAX_FRAMES: Final = 250
"""Sentry keeps that many frames of one exception."""


def innermost(traceback: TracebackType | None) -> str:
    """Return where an exception was raised, as in `/srv/app.py:12`; empty if it was not."""
    if traceback is None:
        return ""
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return f"{traceback.tb_frame.f_code.co_filename}:{traceback.tb_lineno}"


def parse_stacktrace(text: str) -> list[dict[str, Any]]:
    """Return the frames of the last exception in a Python traceback, outermost first, as Sentry wants them.

    What is no traceback gives no frames. Of a chain of exceptions the last one is the one that was recorded; of
    a group its own frames are given, not its members'.
    """
    frames: list[dict[str, Any]] = []
    lines = [line[4:] if line.startswith(_GROUP_MARGIN) else line for line in text.splitlines()]
    for number, line in enumerate(lines):
        if line.startswith(("Traceback (most recent call last):", "  + Exception Group Traceback")):
            frames = []
            continue
        found = _FRAME.match(line)
        if found is None:
            continue
        path, lineno, function = found.groups()
        frame: dict[str, Any] = {
            "abs_path": path,
            "filename": path.replace("\\", "/").rsplit("/", 1)[-1],
            "lineno": int(lineno),
            "function": function or "<unknown>",
        }
        following = lines[number + 1] if number + 1 < len(lines) else ""
        if following.startswith("    "):
            frame["context_line"] = following[4:]
        frames.append(frame)
    return frames[-_MAX_FRAMES:]
