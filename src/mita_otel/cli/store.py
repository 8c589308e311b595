"""`mita-otel store`: the tables, what is in them, and who may do what to them."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from mita_otel.errors import ConfigurationError
from mita_otel.policy import load_policy

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.command()
def migrate(
    revision: Annotated[str, typer.Option("--to", help="A revision, or base: none of ours.")] = "head",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before tables are dropped.")] = False,
) -> None:
    """Bring the tables up to date, or back."""
    policy = load_policy().store
    from mita_otel.store import open_database

    database = open_database(policy, os.environ)
    from mita_otel.store.migrate import REVISIONS, current_revision, downgrade, upgrade

    if revision not in {"head", "base", *REVISIONS}:
        raise ConfigurationError(f"--to {revision}: there are {', '.join(REVISIONS)}, head and base")
    now = current_revision(database)
    target = {"head": len(REVISIONS), "base": 0}.get(revision)
    target = REVISIONS.index(revision) + 1 if target is None else target
    here = REVISIONS.index(now) + 1 if now in REVISIONS else 0
    if target < here:
        if not yes:
            typer.confirm(
                "This drops tables and what is in them, the audit trail perhaps. Go on?", abort=True
            )
        downgrade(database, revision)
    else:
        upgrade(database, revision)
    typer.echo(f"{database.url}: {current_revision(database) or 'no tables'}")


@app.command()
def status() -> None:
    """Show where the store is, which tables it has, and how much is in them."""
    policy = load_policy().store
    from mita_otel.store import open_database

    database = open_database(policy, os.environ)
    from sqlalchemy import func, select

    from mita_otel.store.migrate import METADATA, REVISIONS, current_revision

    revision = current_revision(database)
    typer.echo(
        f"{database.url}: {revision or 'no tables'}{'' if revision == REVISIONS[-1] else f', {REVISIONS[-1]} is needed'}"
    )
    if revision == REVISIONS[-1]:
        with database.read() as connection:
            for table in METADATA.sorted_tables:
                rows = connection.execute(select(func.count()).select_from(table)).scalar_one()
                typer.echo(f"{table.name:<24} {rows:>12,} rows")


@app.command()
def grant(
    role: Annotated[str, typer.Argument(help="A role of PostgreSQL that is there already.")],
    reader: Annotated[
        bool, typer.Option("--reader", help="What reports and an auditor need, not what a service needs.")
    ] = False,
    show: Annotated[bool, typer.Option("--print", help="Print the statements and do nothing.")] = False,
) -> None:
    """Give a role what it needs: a service may add to the audit trail, and nothing else to it."""
    from mita_otel.store import open_database

    database = open_database(load_policy().store, os.environ)
    from mita_otel.store.grants import grant as give
    from mita_otel.store.grants import grants

    purpose = "reader" if reader else "writer"
    if show:
        for statement in grants(role, purpose):  # type: ignore[arg-type]
            typer.echo(f"{statement};")
        return
    give(database, role, purpose)  # type: ignore[arg-type]
    typer.echo(f"{role} is a {purpose} of {database.url}")
