"""`mita-otel doctor`: what is wrong with this environment, and the mend."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from mita_otel._plural import counted
from mita_otel.cli.frame import BAD_POLICY
from mita_otel.doctor.examination import examine
from mita_otel.sdk.health.check import Check, Status, worst

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
    offline: Annotated[
        bool, typer.Option("--offline", help="Ask no other machine but the store's: not Sentry, not OTLP's.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Look for what is wrong with this environment, and name the mend. Sends nothing but empty requests.

    Each line is pass, warn (it works, and somebody should look) or fail. Exit status: 0 if nothing fails, 1 if something
    does, 2 if the command itself was given something that cannot be used.
    """
    checks = []
    for check in examine(policy, environment, network=not offline):
        checks.append(check)
        if not as_json:
            typer.echo(f"{check.status.value}  {check.name}{': ' if check.said else ''}{check.said}")
    typer.echo(_document(checks) if as_json else _summary(checks))
    if worst(one.status for one in checks) is Status.FAIL:
        raise typer.Exit(BAD_POLICY)


def _document(checks: list[Check]) -> str:
    shown = [
        {"name": one.name, "status": one.status.value, "said": one.said, "observed": dict(one.observed)}
        for one in checks
    ]
    status = worst(one.status for one in checks).value
    return json.dumps({"status": status, "checks": shown}, indent=2, ensure_ascii=False)


def _summary(checks: list[Check]) -> str:
    """Return a last line that a person reads first."""
    faults = [one.name for one in checks if one.status is Status.FAIL]
    warnings = [one.name for one in checks if one.status is Status.WARN]
    counts = [
        f"{counted(len(names), word)} ({', '.join(names)})"
        for word, names in (("fault", faults), ("warning", warnings))
        if names
    ]
    return f"\n{' and '.join(counts) or 'nothing is wrong'}: {len(checks)} things were looked at"
