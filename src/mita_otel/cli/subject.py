"""`mita-otel subject`: what is kept about a person, and their erasure."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from mita_otel._plural import counted
from mita_otel.cli.opened import opened

app = typer.Typer(add_completion=False, no_args_is_help=True)

_USER = typer.Option("--user", "-u", help="The person, by the id that the service knows them by.")


@app.command()
def export(
    user: Annotated[str, _USER],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where to, a JSON object a line. Not given: print.")
    ] = None,
) -> None:
    """Write everything that is kept about a person. The export is an entry of the audit trail."""
    count = 0
    with opened() as mine:
        database = mine.database()
        from mita_otel.audit.retention.subjects import Subjects

        found = Subjects(database, mine.room.trail).export(user, by=mine.user)
        if output is None:
            for one in found:
                count += 1
                typer.echo(json.dumps(one, ensure_ascii=False))
        else:
            descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                for one in found:
                    count += 1
                    file.write(json.dumps(one, ensure_ascii=False) + "\n")
    typer.echo(counted(count, "record"), err=True)


@app.command()
def erase(
    user: Annotated[str, _USER],
    reason: Annotated[
        str, typer.Option("--reason", help="Why: the request's number, say. Not the person's name.")
    ],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Erase a person: nobody can tell any more whose their entries were, and every chain still verifies."""
    if not yes:
        typer.confirm(f"Erase {user}? It cannot be undone", abort=True)
    with opened() as mine:
        database = mine.database()
        from mita_otel.audit.retention.subjects import Subjects

        erased = Subjects(database, mine.room.trail).erase(user, reason=reason, by=mine.user)
    typer.echo(
        f"{counted(erased.entries, 'audit entry', 'audit entries')}, {counted(erased.errors, 'error')} and "
        f"{counted(erased.spans, 'span')} no longer name them ({erased.erasure_id})"
    )
