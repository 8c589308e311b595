"""`mita-otel subject`: export or erase the data of a person."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from mita_otel._text import counted, json_text
from mita_otel.cli.options import Yes
from mita_otel.cli.output import echo, echo_json
from mita_otel.cli.trail_session import open_trail

app = typer.Typer(add_completion=False, no_args_is_help=True)

_USER = typer.Option("--user", "-u", help="User id of the person, as the service records it.")


@app.command()
def export(
    user: Annotated[str, _USER],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="File for the records, one JSON object per line (default: standard output).",
        ),
    ] = None,
) -> None:
    """Export all stored data about a person. The export itself is audited."""
    count = 0
    with open_trail() as session:
        database = session.database()
        from mita_otel.audit.retention.subjects import Subjects

        found = Subjects(database, session.audit.trail).export(user, by=session.user)
        if output is None:
            for one in found:
                count += 1
                echo_json(one)
        else:
            descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                for one in found:
                    count += 1
                    file.write(json_text(one) + "\n")
    echo(counted(count, "record"), err=True)


@app.command()
def erase(
    user: Annotated[str, _USER],
    reason: Annotated[
        str,
        typer.Option(
            "--reason", help="Reason, for example the number of the request. Do not name the person."
        ),
    ],
    yes: Yes = False,
) -> None:
    """Erase a person. Their entries can no longer be attributed to them, and every audit chain still verifies."""
    if not yes:
        typer.confirm(f"Erase {user}? This cannot be undone", abort=True)
    with open_trail() as session:
        database = session.database()
        from mita_otel.audit.retention.subjects import Subjects

        erased = Subjects(database, session.audit.trail).erase(user, reason=reason, by=session.user)
    echo(
        f"{counted(erased.entries, 'audit entry', 'audit entries')}, {counted(erased.errors, 'error')} and "
        f"{counted(erased.spans, 'span')} no longer identify the person ({erased.erasure_id})"
    )
