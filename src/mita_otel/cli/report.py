"""`mita-otel report`: what the store holds, for people and for auditors."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from mita_otel.cli.opened import opened, progress
from mita_otel.errors import ConfigurationError
from mita_otel.reports.export import create_report
from mita_otel.reports.model import Report, ReportKind
from mita_otel.reports.output import FORMATS, format_of, json_schema, render_report, write_report
from mita_otel.reports.scope import Period, ReportScope, day_of, last_days, month_of, quarter_of, week_before

app = typer.Typer(add_completion=False, no_args_is_help=True)

Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="Where to: .html, .md, .csv or .json. Not given: print Markdown."),
]
Format = Annotated[
    str | None, typer.Option("--format", "-f", help=f"{', '.join(FORMATS)}. Not given: the file's ending.")
]
Service = Annotated[str | None, typer.Option("--service", help="Of this service alone.")]
Environment = Annotated[str | None, typer.Option("--environment", "-e", help="Of this environment alone.")]
NoVerify = Annotated[bool, typer.Option("--no-verify", help="Do not verify the audit trail.")]
SourceOption = Annotated[str, typer.Option("--source", help="store, or sentry: from Sentry's API.")]


@app.command()
def performance(
    days: Annotated[int, typer.Option("--days", "-d", help="Days to look back on.")] = 7,
    output: Output = None,
    form: Format = None,
    service: Service = None,
    environment: Environment = None,
    source: SourceOption = "store",
) -> None:
    """How fast the services were: percentiles against limits, breaches, slowest spans."""
    period = last_days(days, datetime.now(UTC))
    _make("performance", period, output, form, service, environment, source=source)


@app.command()
def compliance(
    month: Annotated[
        str | None, typer.Option("--month", "-m", help="As in 2026-11. Not given: the last whole one.")
    ] = None,
    days: Annotated[int | None, typer.Option("--days", "-d", help="The last days, not a month.")] = None,
    user: Annotated[
        str | None, typer.Option("--user", "-u", help="Entries and errors of this person alone.")
    ] = None,
    output: Output = None,
    form: Format = None,
    service: Service = None,
    environment: Environment = None,
    no_verify: NoVerify = False,
) -> None:
    """Evidence for PCI DSS, what is not covered, and whether the audit trail is as it was written."""
    if month is not None and days is not None:
        raise ConfigurationError("choose one of --month and --days")
    now = datetime.now(UTC)
    period = month_of(month, now) if days is None else last_days(days, now)
    _make("compliance", period, output, form, service, environment, verified=not no_verify, user=user)


@app.command()
def daily(
    day: Annotated[str | None, typer.Option("--day", help="As in 2026-11-24. Not given: yesterday.")] = None,
    output: Output = None,
    form: Format = None,
    service: Service = None,
    environment: Environment = None,
    no_verify: NoVerify = False,
) -> None:
    """Security events of a day."""
    period = day_of(day, datetime.now(UTC))
    _make("daily", period, output, form, service, environment, verified=not no_verify)


@app.command()
def weekly(
    output: Output = None,
    form: Format = None,
    service: Service = None,
    environment: Environment = None,
    source: SourceOption = "store",
) -> None:
    """Performance and errors of the last whole week, beside the week before."""
    _make("weekly", week_before(datetime.now(UTC)), output, form, service, environment, source=source)


@app.command()
def monthly(
    month: Annotated[
        str | None, typer.Option("--month", "-m", help="As in 2026-11. Not given: the last whole one.")
    ] = None,
    output: Output = None,
    form: Format = None,
    service: Service = None,
    environment: Environment = None,
    no_verify: NoVerify = False,
) -> None:
    """Compliance report of a month."""
    period = month_of(month, datetime.now(UTC))
    _make("monthly", period, output, form, service, environment, verified=not no_verify)


@app.command()
def quarterly(
    quarter: Annotated[
        str | None, typer.Option("--quarter", "-q", help="As in 2026-Q4. Not given: the last whole one.")
    ] = None,
    output: Output = None,
    form: Format = None,
    service: Service = None,
    environment: Environment = None,
    no_verify: NoVerify = False,
) -> None:
    """Executive summary of a quarter, beside the quarter before."""
    period = quarter_of(quarter, datetime.now(UTC))
    _make("quarterly", period, output, form, service, environment, verified=not no_verify)


@app.command()
def schema() -> None:
    """Print the JSON schema of reports."""
    typer.echo(json.dumps(json_schema(), indent=2))


def _make(
    kind: ReportKind,
    period: Period,
    output: Path | None,
    form: str | None,
    service: str | None,
    environment: str | None,
    *,
    source: str = "store",
    verified: bool = True,
    user: str | None = None,
) -> None:
    if form is not None and form not in FORMATS:
        raise ConfigurationError(f"--format {form}: use one of {', '.join(FORMATS)}")
    if output is not None and form is None:
        format_of(output)  # before the work
    scope = ReportScope(period, service, environment, user)
    report = (
        _from_sentry(kind, scope)
        if source == "sentry"
        else _from_store(kind, scope, source, verified=verified)
    )
    if output is None:
        typer.echo(render_report(report, form or "md"), nl=False)
    else:
        typer.echo(str(write_report(report, output, form)))


def _from_store(kind: ReportKind, scope: ReportScope, source: str, *, verified: bool) -> Report:
    if source != "store":
        raise ConfigurationError(f"--source {source}: use store or sentry")
    with opened() as mine, progress("report") as shown:
        mine.database()
        return create_report(
            kind,
            scope,
            mine.room,
            mine.policy,
            verified=verified,
            by=mine.user,
            on_progress=shown.say,
            on_verified=shown.of,
        )


def _from_sentry(kind: ReportKind, scope: ReportScope) -> Report:
    from mita_otel.reports.sentry_source import report_from_sentry

    with progress("asking Sentry") as shown:
        return report_from_sentry(kind, scope, on_progress=shown.say)
