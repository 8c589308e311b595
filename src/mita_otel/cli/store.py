"""`mita-otel store`: migrate the tables, show them, grant access to them."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from mita_otel.cli.output import echo
from mita_otel.errors import ConfigurationError
from mita_otel.policy import load_policy

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.command()
def migrate(
    revision: Annotated[
        str, typer.Option("--to", help="Target revision; `base` removes all tables.")
    ] = "head",
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask for confirmation before tables are dropped.")
    ] = False,
) -> None:
    """Migrate the tables to the current or to another revision."""
    policy = load_policy().store
    from mita_otel.store import open_database

    database = open_database(policy, os.environ)
    from mita_otel.store.migrate import REVISIONS, current_revision, downgrade, upgrade

    if revision not in {"head", "base", *REVISIONS}:
        raise ConfigurationError(
            f"--to {revision}: no such revision; use one of {', '.join(REVISIONS)}, head, base"
        )
    now = current_revision(database)
    target = {"head": len(REVISIONS), "base": 0}.get(revision)
    target = REVISIONS.index(revision) + 1 if target is None else target
    here = REVISIONS.index(now) + 1 if now in REVISIONS else 0
    if target < here:
        if not yes:
            typer.confirm(
                "This drops tables with their data, possibly the audit trail. Continue?", abort=True
            )
        downgrade(database, revision)
    else:
        upgrade(database, revision)
    echo(f"{database.url}: {current_revision(database) or 'no tables'}")


@app.command()
def status() -> None:
    """Show the URL of the store, its revision, and the number of rows in each table."""
    policy = load_policy().store
    from mita_otel.store import open_database

    database = open_database(policy, os.environ)
    from sqlalchemy import func, select

    from mita_otel.store.migrate import METADATA, REVISIONS, current_revision

    revision = current_revision(database)
    echo(
        f"{database.url}: {revision or 'no tables'}{'' if revision == REVISIONS[-1] else f', revision {REVISIONS[-1]} is needed: mita-otel store migrate'}"
    )
    if revision == REVISIONS[-1]:
        with database.read() as connection:
            for table in METADATA.sorted_tables:
                rows = connection.execute(select(func.count()).select_from(table)).scalar_one()
                echo(f"{table.name:<24} {rows:>12,} rows")


@app.command()
def grant(
    role: Annotated[str, typer.Argument(help="Existing PostgreSQL role.")],
    reader: Annotated[
        bool,
        typer.Option(
            "--reader", help="Grant read access, for reports and auditors (default: the access of a service)."
        ),
    ] = False,
    show: Annotated[
        bool, typer.Option("--print", help="Print the SQL statements without running them.")
    ] = False,
) -> None:
    """Grant a role the access that it needs. A service can only append to the audit trail."""
    from mita_otel.store import open_database

    database = open_database(load_policy().store, os.environ)
    from mita_otel.store.append_only import grant as give
    from mita_otel.store.append_only import grants

    purpose = "reader" if reader else "writer"
    if show:
        for statement in grants(role, purpose):  # type: ignore[arg-type]
            echo(f"{statement};")
        return
    give(database, role, purpose)  # type: ignore[arg-type]
    echo(f"{role} is a {purpose} of {database.url}")
