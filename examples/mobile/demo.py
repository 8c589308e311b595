"""Starts the service, plays the recorded sessions, stops the service, and draws the stored traces.

python examples/mobile/demo.py
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from rich.console import Console
from rich.text import Text

sys.path.insert(0, str(Path(__file__).parent))

from play import HERE, play, sessions

from mita_otel.exporters.span_record import SpanRecord
from mita_otel.exporters.waterfall import Waterfall

_READY = re.compile(r"running on (http://127\.0\.0\.1:\d+)")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name in ("app.py", "mita-otel.toml"):
            shutil.copy(HERE / name, folder)
        run_service(Path(folder))
        draw(Path(folder) / "mita-otel.db")


def run_service(folder: Path) -> None:
    """Run the service and play the sessions."""
    binaries = Path(sys.executable).parent
    command = [
        str(binaries / "opentelemetry-instrument"),
        str(binaries / "uvicorn"),
        "app:app",
        *("--port", "0", "--no-access-log"),
    ]
    ours = ("OTEL_", "MITA_", "SENTRY_", "ENVIRONMENT")
    env = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    env["OTEL_SERVICE_NAME"] = "mita-backend"
    with subprocess.Popen(command, cwd=folder, env=env, stderr=subprocess.PIPE, text=True) as service:
        log: list[str] = []
        for line in service.stderr or ():
            log.append(line)
            found = _READY.search(line)
            if found is not None:
                break
        else:
            raise SystemExit("the service did not start:\n" + "".join(log))
        try:
            for name in sessions():
                steps = list(play(name, found[1], found[1]))
                print(f"{name}: {', '.join(f'{step.name} {step.status}' for step in steps)}")
        finally:
            service.terminate()
    print()


def draw(path: Path) -> None:
    """Draw the traces that app and backend share, and print breaches and errors."""
    with sqlite3.connect(path) as database:
        traces = defaultdict(list)
        for trace_id, service, record in database.execute("SELECT trace_id, service, record FROM mita_spans"):
            traces[trace_id].append((service, SpanRecord.from_mapping(json.loads(record))))
        breaches = database.execute(
            "SELECT rule, name, duration_ms, limit_ms FROM mita_breaches ORDER BY occurred_ns"
        ).fetchall()
        errors = database.execute(
            "SELECT category, severity, name, message FROM mita_errors ORDER BY occurred_ns"
        ).fetchall()
    console = Console(width=100, highlight=False)
    for spans in traces.values():
        if len({service for service, _ in spans}) > 1:
            console.rule(f"one trace of {' and '.join(sorted({service for service, _ in spans}))}")
            picture = Waterfall([record for _, record in spans], max_rows=20).drawn(100, colours=True)
            console.print(Text.from_ansi(picture))
    console.rule("breaches in the app")
    for rule, name, duration_ms, limit_ms in breaches:
        console.print(f"{name}: {duration_ms:.0f} ms, limit {limit_ms:g} ms ({rule})", markup=False)
    console.rule("errors in the app")
    for category, severity, name, message in errors:
        console.print(f"{category}, {severity}: {name}: {message[:200]}", markup=False)


if __name__ == "__main__":
    main()
