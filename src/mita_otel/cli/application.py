"""The `mita-otel` application: the table of commands, and how errors are reported.

A command is a module with a `typer.Typer` named `app`. It is imported when it is used.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Annotated, Any, Final, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from mita_otel._text import visible_lines
from mita_otel._versions import version_of
from mita_otel.errors import ConfigurationError
from mita_otel.sdk.env_check import import_opentelemetry

BAD_POLICY = 1
"""Exit status of a check that found a problem."""
BAD_CONFIGURATION = 2
"""Exit status for an unusable setting or argument."""


class Command(NamedTuple):
    """One row of the table."""

    module: str
    """The module of its `app`. An app with one command is that command, one with several is a group."""
    summary: str
    """Its line in the list of commands."""


COMMANDS: Final = {
    "policy": Command("mita_otel.cli.policy", "Show and validate the policy (limits and redaction rules)."),
    "redact": Command("mita_otel.cli.redact", "Redact text, or explain how a value is redacted."),
    "audit": Command("mita_otel.cli.audit", "Read, verify and anchor the audit trail."),
    "report": Command("mita_otel.cli.report", "Performance, compliance and security reports."),
    "retention": Command(
        "mita_otel.cli.retention", "Delete data past its retention period; manage legal holds."
    ),
    "subject": Command("mita_otel.cli.subject", "Export or erase the data of a person."),
    "store": Command("mita_otel.cli.store", "Migrate the store's tables, show them, grant access."),
    "alerts": Command(
        "mita_otel.cli.alerts", "Open alerts, acknowledgements, silences; alert rules in Sentry."
    ),
    "mobile": Command("mita_otel.cli.mobile", "Serve the mobile gateway; show the DSNs of the apps."),
    "release": Command("mita_otel.cli.release", "Releases in Sentry: create, add commits, finalize, deploy."),
    "test": Command(
        "mita_otel.cli.self_test", "Send a real test event to Sentry, Slack, PagerDuty, e-mail and others."
    ),
    "doctor": Command("mita_otel.cli.doctor", "Diagnose this environment and name the fixes."),
}
"""The commands by name, in the order of `--help`."""


class CommandTable(TyperGroup):
    """Lists the commands without importing them."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        """Return the names in the table's order."""
        return list(COMMANDS)

    def get_command(self, ctx: typer.Context, cmd_name: str) -> Any:  # type: ignore[override]
        """Return a placeholder with name and summary, which is all that the list needs."""
        row = COMMANDS.get(cmd_name)
        return row and TyperCommand(cmd_name, help=row.summary)

    def resolve_command(self, ctx: typer.Context, args: list[str]) -> Any:  # type: ignore[override]
        """Return the command to run."""
        name, _, rest = super().resolve_command(ctx, args)
        return name, load(str(name)), rest


def load(name: str) -> Any:
    """Import a command of the table.

    Returns:
        The command or group.
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
        typer.echo(f"mita-otel {version_of('mita-otel')}")
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


def run_script(command: Callable[..., Any]) -> None:
    """Run one command as a script."""
    script = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    script.command()(command)
    run_app(script)


def run_app(application: Callable[[], Any]) -> None:
    """Run a typer application. An unusable setting is one message on stderr, not a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without UTF-8
    # It logs "stamina.retry_scheduled" for each retry. Our final message names the server that did not answer.
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
        print(visible_lines(str(error)), file=sys.stderr, flush=True)  # noqa: T201 - this is the command line
        return BAD_CONFIGURATION
    except OSError as error:
        named = f"{error.filename}: " if error.filename else ""
        print(visible_lines(f"{named}{error.strerror or error}"), file=sys.stderr, flush=True)  # noqa: T201 - this is the command line
        return BAD_POLICY
    return 0


def _pipe_was_closed() -> None:
    """Handle a reader that closed the pipe, such as `head`: not an error, also when Python flushes at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.__stdout__, sys.__stderr__):
        if stream is not None:
            os.dup2(nowhere, stream.fileno())
