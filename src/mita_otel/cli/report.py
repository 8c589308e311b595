"""`mita-otel report`: performance, compliance and security reports."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from mita_otel.audit.canonical import AuditKeys
from mita_otel.cli.application import run_script
from mita_otel.cli.output import progress
from mita_otel.cli.trail_session import open_trail
from mita_otel.errors import ConfigurationError
from mita_otel.reports.export import check_seal, create_report
from mita_otel.reports.model import Report, ReportKind
from mita_otel.reports.output import FORMATS, format_of, json_schema, render_report, write_report
from mita_otel.reports.scope import Period, ReportScope, day_of, last_days, month_of, quarter_of, week_before

app = typer.Typer(add_completion=False, no_args_is_help=True)

Output = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", help="File to write: .html, .md, .csv or .json (default: print Markdown)."
    ),
]
Format = Annotated[
    str | None,
    typer.Option("--format", "-f", help=f"{', '.join(FORMATS)} (default: by the ending of the file)."),
]
Service = Annotated[str | None, typer.Option("--service", help="Only this service (default: all).")]
Environment = Annotated[
    str | None, typer.Option("--environment", "-e", help="Only this environment (default: all).")
]
NoVerify = Annotated[bool, typer.Option("--no-verify", help="Do not verify the audit trail.")]
ReviewedBy = Annotated[str | None, typer.Option("--reviewed-by", help="Who reviewed the report; part of it.")]
SourceOption = Annotated[str, typer.Option("--source", help="Source of the data: store or sentry.")]


@app.command()
def performance(
    days: Annotated[int, typer.Option("--days", "-d", help="Number of days to cover.")] = 7,
    output: Output = None,
    form: Format = None,
    service: Service = None,
    environment: Environment = None,
    source: SourceOption = "store",
) -> None:
    """Write a performance report: percentiles against limits, breaches, slowest spans."""
    period = last_days(days, datetime.now(UTC))
    _write("performance", period, output, form, service, environment, source=source)


@app.command()
def compliance(
    month: Annotated[
        str | None, typer.Option("--month", "-m", help="Month, for example 2026-11 (default: last month).")
    ] = None,
    days: Annotated[
        int | None, typer.Option("--days", "-d", help="Cover the last days instead of a month.")
    ] = None,
    user: Annotated[
        str | None, typer.Option("--user", "-u", help="Only audit entries and errors of this user.")
    ] = None,
    output: Output = None,
    form: Format = None,
    service: Service = None,
    environment: Environment = None,
    no_verify: NoVerify = False,
    reviewed_by: ReviewedBy = None,
) -> None:
    """Write a compliance report: PCI DSS evidence, requirements not covered, integrity of the audit trail."""
    if month is not None and days is not None:
        raise ConfigurationError("choose one of --month and --days")
    now = datetime.now(UTC)
    period = month_of(month, now) if days is None else last_days(days, now)
    _write(
        "compliance",
        period,
        output,
        form,
        service,
        environment,
        verified=not no_verify,
        reviewed_by=reviewed_by,
        user=user,
    )


@app.command()
def daily(
    day: Annotated[
        str | None, typer.Option("--day", help="Day, for example 2026-11-24 (default: yesterday).")
    ] = None,
    output: Output = None,
    form: Format = None,
    service: Service = None,
    environment: Environment = None,
    no_verify: NoVerify = False,
    reviewed_by: ReviewedBy = None,
) -> None:
    """Write the security events of a day."""
    period = day_of(day, datetime.now(UTC))
    _write(
        "daily", period, output, form, service, environment, verified=not no_verify, reviewed_by=reviewed_by
    )


@app.command()
def weekly(
    output: Output = None,
    form: Format = None,
    service: Service = None,
    environment: Environment = None,
    source: SourceOption = "store",
) -> None:
    """Write performance and errors of last week, compared with the previous week."""
    _write("weekly", week_before(datetime.now(UTC)), output, form, service, environment, source=source)


@app.command()
def monthly(
    month: Annotated[
        str | None, typer.Option("--month", "-m", help="Month, for example 2026-11 (default: last month).")
    ] = None,
    output: Output = None,
    form: Format = None,
    service: Service = None,
    environment: Environment = None,
    no_verify: NoVerify = False,
    reviewed_by: ReviewedBy = None,
) -> None:
    """Write the compliance report of a month."""
    period = month_of(month, datetime.now(UTC))
    _write(
        "monthly", period, output, form, service, environment, verified=not no_verify, reviewed_by=reviewed_by
    )


@app.command()
def quarterly(
    quarter: Annotated[
        str | None,
        typer.Option("--quarter", "-q", help="Quarter, for example 2026-Q4 (default: last quarter)."),
    ] = None,
    output: Output = None,
    form: Format = None,
    service: Service = None,
    environment: Environment = None,
    no_verify: NoVerify = False,
    reviewed_by: ReviewedBy = None,
) -> None:
    """Write an executive summary of a quarter, compared with the previous quarter."""
    period = quarter_of(quarter, datetime.now(UTC))
    _write(
        "quarterly",
        period,
        output,
        form,
        service,
        environment,
        verified=not no_verify,
        reviewed_by=reviewed_by,
    )


@app.command()
def verify(file: Annotated[Path, typer.Argument(help="JSON report.", dir_okay=False)]) -> None:
    """Check that a JSON report was not changed: its digest, and its signature under the key of the audit trail."""
    try:
        text = file.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror or error}") from error
    typer.echo(f"{file}: {check_seal(text, AuditKeys.from_environment())}")


@app.command()
def schema() -> None:
    """Print the JSON schema of reports."""
    typer.echo(json.dumps(json_schema(), indent=2))


def performance_main() -> None:
    """Run `generate_performance_report`."""
    run_script(performance)


def compliance_main() -> None:
    """Run `generate_compliance_report`."""
    run_script(compliance)


def _write(
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
    reviewed_by: str | None = None,
) -> None:
    if form is not None and form not in FORMATS:
        raise ConfigurationError(f"--format {form}: use one of {', '.join(FORMATS)}")
    if output is not None and form is None:
        format_of(output)  # fail before the report is created
    scope = ReportScope(period, service, environment, user)
    report = (
        _from_sentry(kind, scope)
        if source == "sentry"
        else _from_store(kind, scope, source, verified=verified, reviewed_by=reviewed_by)
    )
    if output is None:
        typer.echo(render_report(report, form or "md"), nl=False)
    else:
        typer.echo(str(write_report(report, output, form)))


def _from_store(
    kind: ReportKind, scope: ReportScope, source: str, *, verified: bool, reviewed_by: str | None
) -> Report:
    if source != "store":
        raise ConfigurationError(f"--source {source}: use store or sentry")
    with open_trail() as session, progress("report") as shown:
        session.database()
        return create_report(
            kind,
            scope,
            session.audit,
            session.policy,
            verified=verified,
            by=session.user,
            reviewed_by=reviewed_by,
            on_progress=shown.describe,
            on_verified=shown.update,
        )


def _from_sentry(kind: ReportKind, scope: ReportScope) -> Report:
    from mita_otel.reports.sentry_source import report_from_sentry

    with progress("asking Sentry") as shown:
        return report_from_sentry(kind, scope, on_progress=shown.describe)
