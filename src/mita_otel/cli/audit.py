"""`mita-otel audit`: read the audit trail, verify it, note where it stands."""

from __future__ import annotations

import csv
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from mita_otel._plural import counted
from mita_otel.cli.frame import BAD_POLICY
from mita_otel.cli.opened import Opened, opened, progress
from mita_otel.cli.output import visible
from mita_otel.cli.times import time_ns
from mita_otel.errors import ConfigurationError

if TYPE_CHECKING:
    from mita_otel.audit.reading import AuditEntry, AuditFilter

app = typer.Typer(add_completion=False, no_args_is_help=True)

_USER = typer.Option("--user", "-u", help="Of this user.")
_TYPE = typer.Option("--type", "-t", help="Of this type; may be given several times.")
_OUTCOME = typer.Option("--outcome", help="success, failure, denied or unknown.")
_SERVICE = typer.Option("--service", help="Of this service.")
_RESOURCE = typer.Option("--resource", help="About the resource with this id.")
_TRACE = typer.Option("--trace", help="Of this trace.")
_REQUEST = typer.Option("--request", help="Of this request.")
_SINCE = typer.Option("--since", help="Not older: 2026-11-25T09:30 (UTC), or 36h, 7d (ago).")
_UNTIL = typer.Option("--until", help="Older than that.")
_JSON = typer.Option("--json", help="As JSON, an entry a line.")


@app.command()
def verify(
    anchors: Annotated[
        list[Path] | None,
        typer.Option(
            "--anchors",
            "-a",
            help="A file of anchors; may be given several times. Not given: this machine's.",
        ),
    ] = None,
    allow_unkeyed: Annotated[
        bool, typer.Option("--allow-unkeyed", help="Believe chains of the time before there was a key.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Look for any changed, removed, inserted or re-ordered entry. Exit status: 0 if there is none, 1 if there is."""
    with opened() as mine:
        database = mine.database()
        from mita_otel.audit.anchors import read_anchors
        from mita_otel.audit.event import AuditEvent, AuditEventType, AuditOutcome
        from mita_otel.audit.verify import verify as verify_trail

        paths = _anchor_paths(mine, anchors)
        with progress("verifying") as shown:
            result = verify_trail(
                database,
                mine.room.keys,
                anchors=(anchor for path in paths for anchor in read_anchors(path)),
                spool=mine.room.folder,
                allow_unkeyed=allow_unkeyed,
                on_progress=shown.of,
            )
        mine.room.trail.record(
            AuditEvent(
                event_type=AuditEventType.AUDIT_VERIFY,
                user_id=mine.user,
                outcome=AuditOutcome.SUCCESS if result.ok else AuditOutcome.FAILURE,
                resource_type="audit_trail",
                details={name: value for name, value in result.as_dict().items() if name != "findings"},
            )
        )
    if as_json:
        typer.echo(json.dumps(result.as_dict(), indent=2))
    else:
        for line in _told(result, paths):
            typer.echo(line)
    if not result.ok:
        raise typer.Exit(BAD_POLICY)


@app.command()
def tail(
    count: Annotated[int, typer.Option("--lines", "-n", min=1, help="How many entries.")] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes.")] = False,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Show the newest entries."""
    with opened() as mine:
        mine.database()
        from mita_otel.audit.following import Follower
        from mita_otel.audit.reading import AuditFilter

        reader = mine.room.reader()
        entries = reader.recent(AuditFilter(), hours_back=None, limit=count, reader=mine.user)
        _print(entries, as_json=as_json)
        follower = Follower(reader, entries)
        while follow:
            time.sleep(1)
            _print(follower.newer(), as_json=as_json)


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
    limit: Annotated[int, typer.Option("--limit", min=1, help="The newest of them.")] = 100,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Show entries that match. The search is an entry itself."""
    with opened() as mine:
        mine.database()
        wanted = _filter(user, event_type, outcome, service, resource, trace, request, since, until)
        entries = mine.room.reader().recent(wanted, hours_back=None, limit=limit, reader=mine.user)
        _print(entries, as_json=as_json)
    if len(entries) == limit:
        typer.echo(f"the newest {limit}; there may be more: --limit, --since, --until", err=True)


@app.command()
def export(
    file: Annotated[Path, typer.Argument(help="Where to: .jsonl or .csv.", allow_dash=True)],
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
    """Write all entries that match to a file, oldest first. The export is an entry itself."""
    if file.suffix not in {".jsonl", ".csv"} and str(file) != "-":
        raise ConfigurationError(f"{file}: the ending says no format; end it in .jsonl or .csv")
    with opened() as mine:
        mine.database()
        wanted = _filter(user, event_type, outcome, service, resource, trace, request, since, until)
        entries = mine.room.reader().all(wanted, reader=mine.user)
        if str(file) == "-":
            count = _write(entries, sys.stdout, as_csv=False)
        else:
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as out:
                count = _write(entries, out, as_csv=file.suffix == ".csv")
    typer.echo(counted(count, "entry", "entries"), err=True)


@app.command()
def anchor(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Append to this file. Not given: print.")
    ] = None,
) -> None:
    """Note where every chain stands now, signed: to be kept where nobody can change it."""
    with opened() as mine:
        database = mine.database()
        mine.room.trail.flush(mine.policy.audit.mover.read_wait_s)
        from mita_otel.audit.anchors import AnchorFile
        from mita_otel.audit.heads import heads

        count = 0
        sink = AnchorFile(output) if output is not None else None
        for one in heads(database, mine.room.keys):
            count += 1
            if sink is not None:
                sink.note(one)
            else:
                typer.echo(one.line().decode().rstrip())
    typer.echo(counted(count, "chain"), err=True)


@app.command()
def flush() -> None:
    """Bring what waits in the spool of this machine to the database. Chains that somebody writes are left to their writers."""
    with opened() as mine:
        mine.database()
        moved = mine.room.mover().adopt()
        left = mine.room.folder.chains()
    typer.echo(f"{counted(moved, 'chain')} moved; {len(left):,} have a writer")


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
    from mita_otel.audit.reading import AuditFilter

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


def _anchor_paths(mine: Opened, given: list[Path] | None) -> list[Path]:
    if given:
        return given
    from mita_otel.audit.starting import anchor_path

    path = anchor_path(mine.policy, os.environ)
    return [path] if path.exists() else []


def _told(result: Any, paths: list[Path]) -> Iterator[str]:
    for finding in result.findings:
        yield visible(str(finding))
    left_out = sum(result.faults.values()) - len(result.findings)
    if left_out > 0:
        yield f"… and {left_out:,} more faults"
    verdict = "no fault found" if result.ok else counted(sum(result.faults.values()), "fault")
    yield (
        f"{verdict}: {counted(result.entries, 'entry', 'entries')} in {counted(result.chains, 'chain')}, "
        f"{counted(result.anchors, 'anchor')} compared, {result.purged:,} purged behind tombstones, "
        f"{result.erased:,} of erased persons"
    )
    if result.unkeyed_chains:
        yield f"{counted(result.unkeyed_chains, 'chain')} without a key: set MITA_OTEL_AUDIT_KEY"
    if not paths:
        yield "there are no anchors: nobody would notice that the last entries of a chain were deleted"
    if result.clock_steps:
        yield f"{counted(result.clock_steps, 'entry', 'entries')} written after the clock had stepped back"


def _print(entries: Iterable[AuditEntry], *, as_json: bool) -> None:
    for entry in entries:
        if as_json:
            typer.echo(json.dumps(entry.as_dict(), ensure_ascii=False))
            continue
        person = f"person {entry.erasure_id}, erased" if entry.erasure_id else "-"
        about = " ".join(filter(None, [entry.resource_type, entry.resource_id]))
        details = "" if not entry.details else json.dumps(entry.details, ensure_ascii=False)
        parts = [
            f"{entry.recorded_at:%Y-%m-%d %H:%M:%S.%f}",
            f"{entry.event_type:<22}",
            f"{entry.outcome:<8}",
            entry.user_id or person,
            about,
            details,
        ]
        typer.echo(visible("  ".join(filter(None, parts))))


def _write(entries: Iterable[AuditEntry], out: TextIO, *, as_csv: bool) -> int:
    count = 0
    writer: Any = None
    for count, entry in enumerate(entries, 1):  # noqa: B007 - it is returned
        fields = entry.as_dict()
        if not as_csv:
            out.write(json.dumps(fields, ensure_ascii=False) + "\n")
            continue
        if writer is None:
            writer = csv.DictWriter(out, list(fields), lineterminator="\r\n")
            writer.writeheader()
        writer.writerow({name: _cell(value) for name, value in fields.items()})
    return count


def _cell(value: Any) -> Any:
    from mita_otel.reports.text_formats import escape_formula

    if isinstance(value, dict | list):
        value = json.dumps(value, ensure_ascii=False)
    return escape_formula(value) if isinstance(value, str) else value
