"""`mita-otel doctor`: what is wrong with this environment, and the mend."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from mita_otel.cli.frame import BAD_POLICY
from mita_otel.doctor.examination import examine

app = typer.Typer(add_completion=False)


@app.command()
def doctor(
    policy: Annotated[
        Path | None, typer.Option("--policy", "-p", help="Of this file, not of the one that is found.")
    ] = None,
    environment: Annotated[
        str | None,
        typer.Option("--environment", "-e", help="Of this environment, not of the one that this is."),
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Do not ask Sentry's host.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Look for what is wrong with this environment, and name the mend."""
    checks = []
    for check in examine(policy, environment, network=not offline):
        checks.append(check)
        if not as_json:
            typer.echo(f"{check.status.value}  {check.name}{': ' if check.said else ''}{check.said}")
    if as_json:
        shown = [{"name": one.name, "status": one.status.value, "said": one.said} for one in checks]
        typer.echo(json.dumps(shown, indent=2, ensure_ascii=False))
    if any(one.status.value == "fail" for one in checks):
        raise typer.Exit(BAD_POLICY)
