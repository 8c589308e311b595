"""CPU and memory that telemetry adds to the start of a process, beside OpenTelemetry in code and sentry-sdk.

    make bench-startup       # or: python benchmarks/startup.py [rounds]

Each variant starts in a fresh process; rounds are interleaved. What a variant adds in a round is compared, in the same
round, with Python that has loaded the standard modules of any service, and with OpenTelemetry's SDK imported.
`configure()` leaves some work to a thread that runs while the application loads: "all done" is the process when that
thread has ended, the rest is the main thread. Compare ratios between machines, not milliseconds.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from typing import Final, NamedTuple

DSN: Final = "http://public@127.0.0.1:9/1"
NOWHERE: Final = "http://127.0.0.1:9"
BARE, SDK, IN_CODE = (
    "bare Python, with logging",
    "OpenTelemetry SDK, imported only",
    "OpenTelemetry in code, OTLP",
)

MEASURE: Final = """
import resource
def cpu_ms(of=resource.RUSAGE_SELF):
    used = resource.getrusage(of)
    return (used.ru_utime + used.ru_stime) * 1000
def rss_mib():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20
"""
REPORT: Final = """
begun = (cpu_ms(resource.RUSAGE_THREAD), rss_mib())  # the main thread, which the application waits for
import threading
for thread in threading.enumerate():
    if thread.name == "mita-otel-warm-up":
        thread.join()
import json, os
print(json.dumps([*begun, cpu_ms(), rss_mib()]), flush=True)
os._exit(0)
"""
IMPORT_SDK: Final = "import opentelemetry.sdk.trace, opentelemetry.sdk.metrics, opentelemetry.sdk._logs\n"
OTLP: Final = """
from opentelemetry import metrics, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
provider = TracerProvider(resource=Resource.create())
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(provider)
"""
SENTRY: Final = """
import sentry_sdk
# Without the integrations that import whatever framework is installed.
sentry_sdk.init(traces_sample_rate=1.0, auto_enabling_integrations=False)
"""
OURS: Final = f"{IMPORT_SDK}import mita_otel\nmita_otel.configure()\n"
TO_OTLP: Final = {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": NOWHERE}

VARIANTS: Final[dict[str, tuple[str, dict[str, str]]]] = {
    BARE: ("import logging, threading, typing", {}),
    SDK: (IMPORT_SDK, {}),
    IN_CODE: (OTLP, {"OTEL_EXPORTER_OTLP_ENDPOINT": NOWHERE}),
    "sentry-sdk": (SENTRY, {"SENTRY_DSN": DSN}),
    "ours, OTLP": (OURS, TO_OTLP),
    "ours, Sentry": (OURS, {"SENTRY_DSN": DSN}),
    "ours, console": (OURS, {"OTEL_TRACES_EXPORTER": "console"}),
    "ours, memory": (OURS, {"OTEL_TRACES_EXPORTER": "memory"}),
    "ours, disabled": (
        "import mita_otel\nmita_otel.configure()\n",
        {"OTEL_SDK_DISABLED": "true", "SENTRY_DSN": DSN},
    ),
}


class Start(NamedTuple):
    """What a process had used when the variant was ready, and when the background work of the start had ended."""

    cpu_ms: float
    rss_mib: float
    all_cpu_ms: float
    all_rss_mib: float


def measured(variant: str) -> Start:
    """Start a fresh process."""
    code, settings = VARIANTS[variant]
    hidden = ("MITA_", "OTEL_", "SENTRY_", "PYTHONDONTWRITEBYTECODE")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    run = subprocess.run(
        [sys.executable, "-c", MEASURE + code + REPORT],
        env={**inherited, **settings},
        cwd="/",  # a policy file of the working directory is not meant
        capture_output=True,
        text=True,
        check=True,
    )
    return Start(*json.loads(run.stdout))


def main() -> None:
    """Print the table."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    for variant in VARIANTS:
        measured(variant)  # compiles modules, and fills the disk's cache
    starts = [{variant: measured(variant) for variant in VARIANTS} for _ in range(rounds)]
    print(f"Python {sys.version.split()[0]}, {rounds} rounds, medians. Added to {BARE}, ")
    print(f"or, for ours except the disabled one, to the process with the {SDK}.\n")
    print(
        "| variant | CPU, ms | added | of OpenTelemetry in code | all done: added | MiB | added | all done: added |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for variant in VARIANTS:
        base = SDK if variant.startswith("ours") and "disabled" not in variant else BARE

        def median(of: str, above: str | None = None, per: bool = False, variant: str = variant) -> float:
            name = of.removeprefix("all_") if above in {BARE, SDK} else of
            added = [
                getattr(one[variant], of) - (getattr(one[above], name) if above else 0.0) for one in starts
            ]
            unit = [one[IN_CODE].cpu_ms - one[BARE].cpu_ms if per else 1.0 for one in starts]
            return statistics.median(this / of_it for this, of_it in zip(added, unit, strict=True))

        print(
            f"| {variant} | {median('cpu_ms'):.0f} | {median('cpu_ms', base):+.0f} | {median('cpu_ms', base, True):.2f} "
            f"| {median('all_cpu_ms', base):+.0f} | {median('rss_mib'):.1f} | {median('rss_mib', base):+.1f} "
            f"| {median('all_rss_mib', base):+.1f} |"
        )


if __name__ == "__main__":
    main()
