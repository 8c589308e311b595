"""`mita-otel audit`: read, verify, export and anchor the audit trail."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mita_otel._text import counted
from mita_otel.cli.application import BAD_POLICY
from mita_otel.cli.audit_entries import print_entries, verification_lines, write_entries
from mita_otel.cli.options import AsJson, time_ns
from mita_otel.cli.output import echo, echo_json, progress
from mita_otel.cli.trail_session import TrailSession, open_trail
from mita_otel.errors import ConfigurationError

if TYPE_CHECKING:
    from mita_otel.audit.reader import AuditFilter

app = typer.Typer(add_completion=False, no_args_is_help=True)

_USER = typer.Option("--user", "-u", help="Entries of this user.")
_TYPE = typer.Option("--type", "-t", help="Entries of this type. Can be repeated.")
_OUTCOME = typer.Option("--outcome", help="Entries with this outcome: success, failure, denied or unknown.")
_SERVICE = typer.Option("--service", help="Entries of this service.")
_RESOURCE = typer.Option("--resource", help="Entries about the resource with this id.")
_TRACE = typer.Option("--trace", help="Entries of the trace with this id.")
_REQUEST = typer.Option("--request", help="Entries of the request with this id.")
_SINCE = typer.Option("--since", help="Start of the period: 2026-11-25T09:30 (UTC), or 36h, 7d (ago).")
_UNTIL = typer.Option("--until", help="End of the period, exclusive.")
_JSON = typer.Option("--json", help="Print JSON, one entry per line.")


@app.command()
def verify(
    anchors: Annotated[
        list[Path] | None,
        typer.Option(
            "--anchors",
            "-a",
            help="File of anchors. Can be repeated (default: the file of this machine).",
        ),
    ] = None,
    allow_unkeyed: Annotated[
        bool, typer.Option("--allow-unkeyed", help="Accept unsigned chains created before a key was set.")
    ] = False,
    environments: Annotated[
        list[str] | None,
        typer.Option(
            "--environment",
            help="Environment whose chains belong in this store. Can be repeated (default: the one with the most entries).",
        ),
    ] = None,
    timestamps: Annotated[
        list[Path] | None,
        typer.Option(
            "--timestamps",
            help="File of timestamped anchors. Can be repeated (default: audit.anchors.timestamps of the policy).",
        ),
    ] = None,
    authority: Annotated[
        Path | None,
        typer.Option(
            "--authority",
            exists=True,
            dir_okay=False,
            help="Certificates of the time-stamping authority (PEM; default: audit.anchors.timestamp_authority of the policy).",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Verify that no entry was changed, removed, inserted or reordered. Exit status: 0 if none was, else 1."""
    with open_trail() as session:
        database = session.database()
        from mita_otel.audit.anchors import read_anchors
        from mita_otel.audit.event import AuditEvent, AuditEventType, AuditOutcome
        from mita_otel.audit.runtime import authority_path
        from mita_otel.audit.timestamps import read_timestamps
        from mita_otel.audit.verification.verify import verify as verify_trail

        paths = _anchor_paths(session, anchors)
        default = Path(session.policy.audit.anchors.timestamps)
        stamped = timestamps or ([default] if default.exists() else [])
        with progress("verifying") as shown:
            result = verify_trail(
                database,
                session.audit.keys,
                anchors=(anchor for path in paths for anchor in read_anchors(path)),
                timestamps=(one for path in stamped for one in read_timestamps(path)),
                max_lag_s=session.policy.audit.anchors.timestamp_max_lag_s,
                authority=authority or authority_path(session.policy),
                spool=session.audit.folder,
                allow_unkeyed=allow_unkeyed,
                environments=environments or None,
                on_progress=shown.update,
            )
        session.audit.trail.record(
            AuditEvent(
                event_type=AuditEventType.AUDIT_VERIFY,
                user_id=session.user,
                outcome=AuditOutcome.SUCCESS if result.ok else AuditOutcome.FAILURE,
                resource_type="audit_trail",
                details={name: value for name, value in result.as_dict().items() if name != "findings"},
            )
        )
    if as_json:
        echo_json(result.as_dict(), indent=2)
    else:
        for line in verification_lines(result):
            echo(line)
    if not result.ok:
        raise typer.Exit(BAD_POLICY)


@app.command()
def tail(
    count: Annotated[int, typer.Option("--lines", "-n", min=1, help="Number of entries.")] = 20,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Follow: print new entries as they arrive.")
    ] = False,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Show the newest entries."""
    with open_trail() as session:
        session.database()
        from mita_otel.audit.reader import AuditFilter, Follower

        reader = session.audit.reader()
        entries = reader.recent(AuditFilter(), hours_back=None, limit=count, reader=session.user)
        print_entries(entries, as_json=as_json)
        follower = Follower(reader, entries)
        while follow:
            time.sleep(1)
            print_entries(follower.newer(), as_json=as_json)


@app.command()
def search(
    user: Annotated[str | None, _USER] = None,
    event_type: Annotated[list[str] | None, _TYPE] = None,
    outcome: Annotated[str | None, _OUTCOME] = None,
    service: Annotated[str | None, _SERVICE] = None,
    resource: Annotated[str | None, _RESOURCE] = None,
    trace: Annotated[str | None, _TRACE] = None,
    request: Annotated[str | None, _REQUEST] = None,
    since: Annotated[str | None, _SINCE] = None,
    until: Annotated[str | None, _UNTIL] = None,
    limit: Annotated[
        int, typer.Option("--limit", min=1, help="Maximum number of entries; the newest are shown.")
    ] = 100,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Show matching entries. The search itself is audited."""
    with open_trail() as session:
        session.database()
        wanted = _filter(user, event_type, outcome, service, resource, trace, request, since, until)
        entries = session.audit.reader().recent(wanted, hours_back=None, limit=limit, reader=session.user)
        print_entries(entries, as_json=as_json)
    if len(entries) == limit:
        echo(f"only the newest {limit} are shown; see --limit, --since and --until for more", err=True)


@app.command()
def export(
    file: Annotated[
        Path, typer.Argument(help="File to write: .jsonl or .csv (-: standard output).", allow_dash=True)
    ],
    user: Annotated[str | None, _USER] = None,
    event_type: Annotated[list[str] | None, _TYPE] = None,
    outcome: Annotated[str | None, _OUTCOME] = None,
    service: Annotated[str | None, _SERVICE] = None,
    resource: Annotated[str | None, _RESOURCE] = None,
    trace: Annotated[str | None, _TRACE] = None,
    request: Annotated[str | None, _REQUEST] = None,
    since: Annotated[str | None, _SINCE] = None,
    until: Annotated[str | None, _UNTIL] = None,
) -> None:
    """Write all matching entries to a file, oldest first. The export itself is audited."""
    if file.suffix not in {".jsonl", ".csv"} and str(file) != "-":
        raise ConfigurationError(f"{file}: unknown format; use a file name that ends in .jsonl or .csv")
    with open_trail() as session:
        session.database()
        wanted = _filter(user, event_type, outcome, service, resource, trace, request, since, until)
        entries = session.audit.reader().all(wanted, reader=session.user)
        if str(file) == "-":
            count = write_entries(entries, sys.stdout, as_csv=False)
        else:
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as out:
                count = write_entries(entries, out, as_csv=file.suffix == ".csv")
    echo(counted(count, "entry", "entries"), err=True)


@app.command()
def anchor(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to append to (default: standard output).")
    ] = None,
) -> None:
    """Print a signed anchor for the end of each chain. Keep anchors where the database's users cannot change them."""
    with open_trail() as session:
        database = session.database()
        session.audit.trail.flush(session.policy.audit.mover.read_wait_s)
        from mita_otel.audit.anchors import AnchorFile
        from mita_otel.audit.ledger import heads

        count = 0
        sink = AnchorFile(output) if output is not None else None
        for one in heads(database, session.audit.keys):
            count += 1
            if sink is not None:
                sink.note(one)
            else:
                echo(one.line().decode().rstrip())
    echo(counted(count, "chain"), err=True)


@app.command()
def flush() -> None:
    """Move the entries in this machine's spool to the database. Running writers move their own."""
    with open_trail() as session:
        session.database()
        moved = session.audit.mover().adopt()
        left = session.audit.folder.owners()
    echo(f"{counted(moved, 'chain')} moved; {len(left):,} in use by a writer")


def _filter(
    user: str | None,
    event_type: list[str] | None,
    outcome: str | None,
    service: str | None,
    resource: str | None,
    trace: str | None,
    request: str | None,
    since: str | None,
    until: str | None,
) -> AuditFilter:
    from mita_otel.audit.reader import AuditFilter

    try:
        return AuditFilter(
            user_id=user,
            event_types=tuple(event_type or ()),
            outcome=outcome,
            service=service,
            resource_id=resource,
            trace_id=trace,
            request_id=request,
            since_ns=time_ns(since, "--since"),
            until_ns=time_ns(until, "--until"),
        )
    except ValueError as error:
        raise ConfigurationError(str(error)) from error


def _anchor_paths(session: TrailSession, given: list[Path] | None) -> list[Path]:
    if given:
        return given
    from mita_otel.audit.runtime import anchor_path

    path = anchor_path(session.policy, os.environ)
    return [path] if path.exists() else []
