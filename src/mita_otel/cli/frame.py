"""What all commands have in common: the table they are found in, and what becomes of errors."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from mita_otel.cli.commands import COMMANDS
from mita_otel.errors import ConfigurationError
from mita_otel.sdk.env_check import import_opentelemetry

BAD_POLICY = 1
"""Exit status of a check that found something."""
BAD_CONFIGURATION = 2
"""Exit status where a setting or an argument cannot be used."""


class CommandTable(TyperGroup):
    """Lists the commands without importing them."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        """Return the names in the table's order."""
        return list(COMMANDS)

    def get_command(self, ctx: typer.Context, cmd_name: str) -> Any:  # type: ignore[override]
        """Return a stand-in that knows its name and summary: all that a list needs."""
        row = COMMANDS.get(cmd_name)
        return row and TyperCommand(cmd_name, help=row.summary)

    def resolve_command(self, ctx: typer.Context, args: list[str]) -> Any:  # type: ignore[override]
        """Return the command itself, to be run."""
        name, _, rest = super().resolve_command(ctx, args)
        return name, load(str(name)), rest


def load(name: str) -> Any:
    """Import a command of the table.

    Returns:
        What typer makes of it: a command or a group.
    """
    row = COMMANDS[name]
    command = typer.main.get_command(import_module(row.module).app)
    command.name = name
    command.help = command.help or row.summary
    return command


app = typer.Typer(
    name="mita-otel",
    help="Limits, redaction and Sentry for Python financial services, on OpenTelemetry.",
    cls=CommandTable,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mita-otel {version('mita-otel')}")
        raise typer.Exit


@app.callback()
def _root(
    _version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line."""
    run_app(partial(app, prog_name="mita-otel"))


def run_app(application: Callable[[], Any]) -> None:
    """Run an application of commands. A setting that cannot be used is one message on stderr, not a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without UTF-8
    # Of each retry it would say "stamina.retry_scheduled"; what we say in the end names who did not answer.
    logging.getLogger("stamina").setLevel(logging.ERROR)
    import_opentelemetry()
    try:
        sys.exit(_run(application))
    except BrokenPipeError:
        _pipe_was_closed()


def _run(application: Callable[[], Any]) -> int | str | None:
    try:
        application()
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):
            raise BrokenPipeError from end
        sys.stdout.flush()
        return end.code
    except BrokenPipeError:
        raise
    except ConfigurationError as error:
        print(error, file=sys.stderr, flush=True)  # noqa: T201 - this is the command line
        return BAD_CONFIGURATION
    except OSError as error:
        named = f"{error.filename}: " if error.filename else ""
        print(f"{named}{error.strerror or error}", file=sys.stderr, flush=True)  # noqa: T201 - this is the command line
        return BAD_POLICY
    return 0


def _pipe_was_closed() -> None:
    """Nobody reads on, as with `| head`: not an error. Nor is it one to Python, which flushes at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.__stdout__, sys.__stderr__):
        if stream is not None:
            os.dup2(nowhere, stream.fileno())
