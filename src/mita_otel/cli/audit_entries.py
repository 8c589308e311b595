"""Audit entries as lines, JSON and CSV, and the result of a verification as lines."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, TextIO

from mita_otel._text import counted, json_text, spreadsheet_cell
from mita_otel.cli.output import echo, echo_json

if TYPE_CHECKING:
    from mita_otel.audit.reader import AuditEntry


def verification_lines(result: Any) -> Iterator[str]:
    """Yield the result of a verification, line by line."""
    for finding in result.findings:
        yield str(finding)
    left_out = sum(result.faults.values()) - len(result.findings)
    if left_out > 0:
        yield f"… and {left_out:,} more errors"
    verdict = "no error found" if result.ok else counted(sum(result.faults.values()), "error")
    yield (
        f"{verdict}: {counted(result.entries, 'entry', 'entries')} in {counted(result.chains, 'chain')}, "
        f"{counted(result.anchors, 'anchor')} compared, {result.purged:,} replaced by tombstones, "
        f"{result.erased:,} of erased people"
    )
    if result.unkeyed_chains:
        yield f"{counted(result.unkeyed_chains, 'chain')} unsigned: set MITA_OTEL_AUDIT_KEY"
    if result.timestamps:
        yield f"{counted(result.timestamps, 'anchor')} timestamped, {counted(result.signatures, 'signature')} verified offline"
    yield from (f"not verified: {one}" for one in result.unverified)
    if result.clock_steps:
        yield f"{counted(result.clock_steps, 'entry', 'entries')} written after the clock was set back"


def print_entries(entries: Iterable[AuditEntry], *, as_json: bool) -> None:
    """Print entries, each on one line."""
    for entry in entries:
        if as_json:
            echo_json(entry.as_dict())
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
        echo("  ".join(filter(None, parts)))


def write_entries(entries: Iterable[AuditEntry], out: TextIO, *, as_csv: bool) -> int:
    """Write entries as CSV or as lines of JSON, and return how many."""
    count = 0
    writer: Any = None
    for count, entry in enumerate(entries, 1):  # noqa: B007 - it is returned
        fields = entry.as_dict()
        if not as_csv:
            out.write(json_text(fields) + "\n")
            continue
        if writer is None:
            writer = csv.DictWriter(out, list(fields), lineterminator="\r\n")
            writer.writeheader()
        writer.writerow({name: _cell(value) for name, value in fields.items()})
    return count


def _cell(value: Any) -> Any:
    if isinstance(value, dict | list):
        value = json.dumps(value, ensure_ascii=False)
    return spreadsheet_cell(value) if isinstance(value, str) else value
