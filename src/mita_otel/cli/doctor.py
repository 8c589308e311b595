"""`mita-otel doctor`: checks that the live configuration does what it promises."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mita_otel.canary import check_canaries
from mita_otel.cli.frame import BAD_POLICY
from mita_otel.configuration import configure

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
) -> None:
    """Check that the live configuration does what it promises."""
    telemetry = configure(policy=policy, environment=environment, exporters=["memory"], strict=True)
    report = check_canaries(telemetry)
    for line in report.lines():
        typer.echo(line)
    telemetry.shutdown()
    if not report.ok:
        raise typer.Exit(BAD_POLICY)
