"""`mita-otel doctor`: diagnose this environment and name the fixes."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from mita_otel._text import counted
from mita_otel.cli.application import BAD_POLICY
from mita_otel.cli.options import AsJson, Environment, PolicyFile
from mita_otel.cli.output import echo, echo_json
from mita_otel.doctor.diagnosis import diagnose
from mita_otel.sdk.health.check import Check, Status, worst

app = typer.Typer(add_completion=False)


@app.command()
def doctor(
    policy: PolicyFile = None,
    environment: Environment = None,
    offline: Annotated[
        bool,
        typer.Option("--offline", help="Do not contact Sentry, OTLP endpoints or upstreams; only the store."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Diagnose this environment and name the fixes. Only empty requests are sent.

    Each check passes, warns (it works but needs attention) or fails. Exit status: 0 if no check fails, 1 if one fails,
    2 if an option cannot be used.
    """
    checks = []
    for check in diagnose(policy, environment, network=not offline):
        checks.append(check)
        if not as_json:
            echo(f"{check.status.value}  {check.name}{': ' if check.said else ''}{check.said}")
    if as_json:
        echo_json(_document(checks), indent=2)
    else:
        echo()
        echo(_summary(checks))
    if worst(one.status for one in checks) is Status.FAIL:
        raise typer.Exit(BAD_POLICY)


def _document(checks: list[Check]) -> dict[str, Any]:
    shown = [
        {"name": one.name, "status": one.status.value, "message": one.said, "observed": dict(one.observed)}
        for one in checks
    ]
    status = worst(one.status for one in checks).value
    return {"status": status, "checks": shown}


def _summary(checks: list[Check]) -> str:
    """Return the last line: a summary of all checks."""
    failures = [one.name for one in checks if one.status is Status.FAIL]
    warnings = [one.name for one in checks if one.status is Status.WARN]
    counts = [
        f"{counted(len(names), word)} ({', '.join(names)})"
        for word, names in (("failure", failures), ("warning", warnings))
        if names
    ]
    return f"{counted(len(checks), 'check')} run: {' and '.join(counts) or 'no problem found'}"
