"""Start the example service, send requests, draw its traces. `make demo` runs this."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

MISSING = "The demo needs {name}. Install its requirements: python -m pip install -r {requirements}"


def main() -> int:
    try:
        from demo_report import DemoReport
        from demo_service import Service, ServiceError
        from demo_traffic import Traffic
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    except ModuleNotFoundError as missing:
        requirements = Path(__file__).parents[1] / "requirements.txt"
        print(MISSING.format(name=missing.name, requirements=requirements), file=sys.stderr)
        return 1

    console = Console(width=None if sys.stdout.isatty() else 100, highlight=False)
    with tempfile.TemporaryDirectory(prefix="mita-otel-demo-") as folder:
        spans_file = Path(folder) / "spans.jsonl"
        report = DemoReport(console)
        report.introduce(Service.COMMAND)
        try:
            with Service(Path(folder), spans_file) as service:
                columns = (TextColumn("{task.description}"), BarColumn(bar_width=None), MofNCompleteColumn())
                progress = Progress(*columns, console=console, expand=True, disable=not console.is_terminal)
                started = time.monotonic()
                with progress:
                    traffic = Traffic(service.url)
                    task = progress.add_task("sending requests", total=traffic.total)
                    for _ in traffic.drive():
                        progress.advance(task)
                report.say(f"{traffic.total} requests in {time.monotonic() - started:.1f} s, then SIGTERM.")
            report.show(spans_file, traffic.secrets)
        except (ServiceError, OSError, ValueError) as error:
            print(f"\nThe demo failed: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("\nThe demo was interrupted.", file=sys.stderr)
            return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
