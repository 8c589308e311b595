"""`mita-otel retention`: apply the policy, check it, place and release legal holds."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated

import typer

from mita_otel._plural import counted
from mita_otel.cli.frame import BAD_POLICY
from mita_otel.cli.opened import opened, progress
from mita_otel.cli.output import visible
from mita_otel.cli.times import time_ns

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.command()
def apply(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count.")] = False,
    trust_clock: Annotated[
        bool, typer.Option("--trust-clock", help="Do not ask whether the clock can be believed.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Delete what has had its time, behind signed tombstones; nothing that a legal hold covers."""
    with opened() as mine:
        database = mine.database()
        from mita_otel.audit.retention.apply import Retention

        retention = Retention(mine.policy.retention, mine.policy.summary, database, mine.room.trail)
        with progress("retention") as shown:
            applied = retention.apply(
                dry_run=dry_run,
                trust_clock=trust_clock,
                by=mine.user,
                on_progress=lambda table, rows: shown.say(f"{table}: {rows:,} rows"),
            )
    if as_json:
        typer.echo(json.dumps(applied.as_dict(), indent=2))
    else:
        verb = "to delete" if dry_run else "deleted"
        for table, count in applied.deleted.items():
            typer.echo(f"{table:<24} {count:>12,} {verb}")
        typer.echo(
            f"{counted(applied.tombstones, 'tombstone')}, {counted(applied.holds, 'legal hold')}, "
            f"{counted(applied.rolled_up, 'window')} rolled up"
        )
        for sentence in applied.refused:
            typer.echo(sentence, err=True)
    if applied.refused:
        raise typer.Exit(BAD_POLICY)


@app.command()
def check() -> None:
    """Say whether what regulations ask for is kept. Exit status: 0 if nothing was deleted too early, 1 if so."""
    with opened() as mine:
        database = mine.database()
        from mita_otel.reports.retention_query import read_retention

        with database.read() as connection:
            found = read_retention(connection, mine.policy.retention, datetime.now(UTC))
    for one in found.kept:
        oldest = "nothing" if one.oldest is None else f"{one.oldest:%Y-%m-%d}"
        typer.echo(
            f"{one.table:<24} {one.rows:>12,} rows, oldest {oldest}, kept {one.days:,} days, {one.overdue:,} overdue"
        )
    for check_ in found.checks:
        typer.echo(
            f"{check_.regulation}, {check_.data}: {check_.status.replace('_', ' ')}; requires {check_.required}; {check_.evidence}"
        )
    if any(one.status == "not_met" for one in found.checks):
        raise typer.Exit(BAD_POLICY)


@app.command()
def hold(
    reason: Annotated[str, typer.Option("--reason", help="Why: the number of the case, say.")],
    data: Annotated[
        str | None, typer.Option("--data", help="audit, errors, performance or debug; all, if not given.")
    ] = None,
    user: Annotated[
        str | None, typer.Option("--user", "-u", help="Of this person; of everybody, if not given.")
    ] = None,
    since: Annotated[str | None, typer.Option("--since", help="What happened from then on.")] = None,
    until: Annotated[str | None, typer.Option("--until", help="What happened before then.")] = None,
) -> None:
    """Place a legal hold: what it covers is neither purged nor erased."""
    with opened() as mine:
        database = mine.database()
        from mita_otel.audit.retention.holds import LegalHolds

        placed = LegalHolds(database, mine.room.trail).place(
            reason=reason,
            by=mine.user,
            data_class=data,
            user_id=user,
            from_ns=time_ns(since, "--since"),
            until_ns=time_ns(until, "--until"),
        )
    typer.echo(placed.id)


@app.command()
def release(hold_id: Annotated[str, typer.Argument(metavar="HOLD")]) -> None:
    """Release a legal hold."""
    with opened() as mine:
        database = mine.database()
        from mita_otel.audit.retention.holds import LegalHolds

        LegalHolds(database, mine.room.trail).release(hold_id, by=mine.user)
    typer.echo(f"{hold_id} is released")


@app.command()
def holds(every: Annotated[bool, typer.Option("--all", help="Released ones as well.")] = False) -> None:
    """List the legal holds."""
    with opened() as mine:
        database = mine.database()
        from mita_otel.audit.retention.holds import LegalHolds

        found = LegalHolds(database, mine.room.trail).all(released=every)
    for one in found:
        placed = datetime.fromtimestamp(one.created_ns / 1e9, UTC)
        state = "" if one.released_ns is None else f", released by {one.released_by}"
        of = "everybody" if one.user_id is None else one.user_id
        told = f"{one.id}  {placed:%Y-%m-%d} by {one.created_by}: {one.data_class or 'all'} of {of}: {one.reason}{state}"
        typer.echo(visible(told))
