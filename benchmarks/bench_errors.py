"""CPU time that reporting an error takes on the thread that logs it, beside sentry-sdk; the rest runs in the background.

    python benchmarks/bench_errors.py [rounds]

Each round starts a process for each variant. The error has a stack of 13 frames with local variables.
"""

from __future__ import annotations

import logging
import os
import statistics
import subprocess
import sys
import time
from typing import Final

ERRORS: Final = 60
VARIANTS: Final = ("sentry-sdk", "mita-otel")
PAUSE_S: Final = 0.02
"""Between two errors, so that background threads keep up."""


def fail(depth: int, note: str) -> None:
    """Raise an error below a stack of calls with local variables."""
    account = {"id": depth, "owner": "Ada", "note": note}
    if depth == 0:
        raise ValueError("card 4111 1111 1111 1111 declined")
    fail(depth - 1, account["note"])  # type: ignore[arg-type]


def measure(variant: str) -> None:
    """Print the median of the milliseconds of CPU time that an error takes."""
    if variant == "sentry-sdk":
        import sentry_sdk

        sentry_sdk.init()
    else:
        import mita_otel

        mita_otel.configure()
    from opentelemetry import trace

    tracer, log = trace.get_tracer("bench"), logging.getLogger("bench")
    log.addHandler(logging.NullHandler())
    spent_ms = []
    for _ in range(ERRORS):
        with tracer.start_as_current_span("GET /payments"):
            try:
                fail(12, "hello world " * 5)
            except ValueError:
                began_s = time.thread_time()
                log.exception("payment of %s failed", "Ada")
                spent_ms.append(1000 * (time.thread_time() - began_s))
        time.sleep(PAUSE_S)
    print(statistics.median(spent_ms), flush=True)
    os._exit(0)  # no backend runs, so there is nothing to flush


def main(rounds: int = 5) -> dict[str, float]:
    """Run the variants in interleaved rounds, print the medians, and return them."""
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OTEL_", "MITA_", "SENTRY_"))
    }
    env["SENTRY_DSN"] = "http://key@127.0.0.1:1/1"
    found: dict[str, list[float]] = {name: [] for name in VARIANTS}
    for _ in range(rounds):
        for name in VARIANTS:
            run = subprocess.run(
                [sys.executable, __file__, name],
                env=env,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                check=True,
            )
            found[name].append(float(run.stdout))
    medians = {name: statistics.median(values) for name, values in found.items()}
    print(f"CPU time of a logged exception on its thread, median of {rounds} rounds of {ERRORS}")
    for name, value in medians.items():
        print(f"  {name:<12}{value:>8.2f} ms   {value / medians['sentry-sdk']:.2f}")
    return medians


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in VARIANTS:
        measure(sys.argv[1])
    else:
        main(*map(int, sys.argv[1:]))
