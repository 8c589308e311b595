"""`mita-otel retention`: apply and check retention periods; place and release legal holds."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from mita_otel._text import counted
from mita_otel.cli.application import BAD_POLICY
from mita_otel.cli.options import AsJson, time_ns
from mita_otel.cli.output import echo, echo_json, progress
from mita_otel.cli.trail_session import open_trail

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.command()
def apply(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count the rows without deleting them.")] = False,
    trust_clock: Annotated[bool, typer.Option("--trust-clock", help="Skip the check of the clock.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete data past its retention period, except data under a legal hold. Signed tombstones replace audit entries."""
    with open_trail() as session:
        database = session.database()
        from mita_otel.audit.retention.apply import RetentionJob

        retention = RetentionJob(
            session.policy.retention, session.policy.summary, database, session.audit.trail
        )
        with progress("retention") as shown:
            applied = retention.apply(
                dry_run=dry_run,
                trust_clock=trust_clock,
                by=session.user,
                on_progress=lambda table, rows: shown.describe(f"{table}: {rows:,} rows"),
            )
    if as_json:
        echo_json(applied.as_dict(), indent=2)
    else:
        verb = "to delete" if dry_run else "deleted"
        for table, count in applied.deleted.items():
            echo(f"{table:<24} {count:>12,} {verb}")
        echo(
            f"{counted(applied.tombstones, 'tombstone')}, {counted(applied.holds, 'legal hold')}, "
            f"{counted(applied.rolled_up, 'window')} rolled up"
        )
        for reason in applied.refused:
            echo(reason, err=True)
    if applied.refused:
        raise typer.Exit(BAD_POLICY)


@app.command()
def check() -> None:
    """Check the data against the retention periods of regulations. Exit status: 1 if data was deleted too early, else 0."""
    with open_trail() as session:
        database = session.database()
        from mita_otel.reports.stored_data import read_retention

        with database.read() as connection:
            found = read_retention(connection, session.policy.retention, datetime.now(UTC))
    for one in found.kept:
        oldest = "nothing" if one.oldest is None else f"{one.oldest:%Y-%m-%d}"
        echo(
            f"{one.table:<24} {one.rows:>12,} rows, oldest {oldest}, kept {one.days:,} days, {one.overdue:,} overdue"
        )
    for check_ in found.checks:
        echo(
            f"{check_.regulation}, {check_.data}: {check_.status.replace('_', ' ')}; requires {check_.required}; {check_.evidence}"
        )
    if any(one.status == "not_met" for one in found.checks):
        raise typer.Exit(BAD_POLICY)


@app.command()
def hold(
    reason: Annotated[str, typer.Option("--reason", help="Reason, for example the number of the case.")],
    data: Annotated[
        str | None,
        typer.Option("--data", help="Data class: audit, errors, performance or debug (default: all)."),
    ] = None,
    user: Annotated[
        str | None, typer.Option("--user", "-u", help="User id of one person (default: everyone).")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option("--since", help="Start of the period: 2026-11-25T09:30 (UTC), or 36h, 7d (ago)."),
    ] = None,
    until: Annotated[str | None, typer.Option("--until", help="End of the period, exclusive.")] = None,
) -> None:
    """Place a legal hold. Data under it is neither deleted nor erased."""
    with open_trail() as session:
        database = session.database()
        from mita_otel.audit.retention.holds import LegalHolds

        placed = LegalHolds(database, session.audit.trail).place(
            reason=reason,
            by=session.user,
            data_class=data,
            user_id=user,
            from_ns=time_ns(since, "--since"),
            until_ns=time_ns(until, "--until"),
        )
    echo(placed.id)


@app.command()
def release(hold_id: Annotated[str, typer.Argument(metavar="HOLD")]) -> None:
    """Release a legal hold."""
    with open_trail() as session:
        database = session.database()
        from mita_otel.audit.retention.holds import LegalHolds

        LegalHolds(database, session.audit.trail).release(hold_id, by=session.user)
    echo(f"{hold_id}: released")


@app.command()
def holds(every: Annotated[bool, typer.Option("--all", help="Include released holds.")] = False) -> None:
    """List the legal holds."""
    with open_trail() as session:
        database = session.database()
        from mita_otel.audit.retention.holds import LegalHolds

        found = LegalHolds(database, session.audit.trail).all(released=every)
    for one in found:
        placed = datetime.fromtimestamp(one.created_ns / 1e9, UTC)
        state = "" if one.released_ns is None else f", released by {one.released_by}"
        person = "everyone" if one.user_id is None else one.user_id
        line = f"{one.id}  {placed:%Y-%m-%d} by {one.created_by}: {one.data_class or 'all'} of {person}: {one.reason}{state}"
        echo(line)
