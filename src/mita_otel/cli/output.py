"""Terminal output: a console, safe text, a progress bar."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mita_otel._text import json_text, visible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

_PIPED = 100_000
"""Columns if stdout is not a terminal. Lines are never wrapped there, so that they can be searched."""


def console() -> Console:
    """Return rich's console for stdout. It is as wide as the terminal, and unlimited in a pipe."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else _PIPED, highlight=False, soft_wrap=False)


def here(place: str) -> str:
    """Return a place without the working directory as prefix."""
    return place.removeprefix(f"{Path.cwd()}/")


def echo(line: object = "", *, err: bool = False) -> None:
    """Print one line to stdout or stderr, with control and invisible characters escaped.

    Text from people and apps must not be able to forge or hide a line.
    """
    import typer

    typer.echo(visible(str(line)), err=err)


def echo_json(value: Any, *, indent: int | None = None) -> None:
    """Print a value as JSON, without control and invisible characters in its strings."""
    import typer

    typer.echo(json_text(value, indent=indent))


@contextmanager
def progress(title: str) -> Iterator[Progress]:
    """Show a progress bar on stderr, if that is a terminal."""
    if not sys.stderr.isatty():
        yield Progress()
        return
    from rich.console import Console
    from rich.progress import Progress as Bars

    with Bars(console=Console(stderr=True), transient=True) as bars:
        yield Progress(bars, bars.add_task(title, total=None))


class Progress:
    """A progress bar, or nothing without a terminal."""

    def __init__(self, bars: RichProgress | None = None, task: TaskID | None = None) -> None:
        self._bars = bars
        self._task = task

    def update(self, done: int, total: int) -> None:
        """Show the completed part of the total."""
        if self._bars is not None and self._task is not None:
            self._bars.update(self._task, completed=done, total=total)

    def describe(self, step: str) -> None:
        """Show the current step."""
        if self._bars is not None and self._task is not None:
            self._bars.update(self._task, description=step)
