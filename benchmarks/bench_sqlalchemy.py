"""CPU that each instrumentation of SQLAlchemy adds to a statement, limits and redaction included.

A statement reads one row of SQLite in memory. Each round runs in a process of its own, and rounds are interleaved: quote the
ratio, not the microseconds.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import time

ROUNDS, STATEMENTS = 9, 3000
SOURCES = {"off": "no instrumentation", "native": "mita-otel", "contrib": "contrib package"}
STATEMENT = "SELECT id, owner FROM accounts WHERE id = :id"


def microseconds(source: str) -> float:
    """Return the CPU of a statement in this process, all threads together."""
    os.environ["MITA_OTEL_INSTRUMENTATION__SQLALCHEMY"] = source
    os.environ["MITA_OTEL_SAMPLING__MODE"] = "always"
    os.environ["MITA_OTEL_THRESHOLDS__REPEATED_QUERIES__MAX_REPEATS"] = "off"
    from opentelemetry import trace
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    from sqlalchemy import create_engine, text

    import mita_otel

    exporter = InMemorySpanExporter()
    telemetry = mita_otel.configure(exporters=[exporter])
    tracer = trace.get_tracer("bench")
    engine = create_engine("sqlite://")
    statement = text(STATEMENT)
    taken = 0.0
    with engine.connect() as connection:
        connection.execute(text("CREATE TABLE accounts (id INTEGER PRIMARY KEY, owner TEXT)"))
        for batch in range(STATEMENTS // 100 + 1):
            start = time.process_time()
            with tracer.start_as_current_span("request"):
                for key in range(100):
                    connection.execute(statement, {"id": key}).all()
            telemetry.flush()
            if batch:  # the first one warms up
                taken += time.process_time() - start
    made = sum(span.name == "SELECT accounts" for span in exporter.get_finished_spans())
    expected = 0 if source == "off" else STATEMENTS + 100
    if made != expected:
        raise RuntimeError(f"{source}: {made} spans instead of {expected}")
    telemetry.shutdown()
    return taken / STATEMENTS * 1e6


def main() -> None:
    """Print the medians of interleaved rounds, and the ratio."""
    spawn = multiprocessing.get_context("spawn")
    taken: dict[str, list[float]] = {source: [] for source in SOURCES}
    for _ in range(ROUNDS):
        for source, measured in taken.items():
            with spawn.Pool(1) as pool:
                measured.append(pool.apply(microseconds, (source,)))
    for source, name in SOURCES.items():
        print(f"{name:20} {statistics.median(taken[source]):7.1f} us CPU a statement")
    rounds = zip(*(taken[source] for source in SOURCES), strict=True)
    ratios = sorted((contrib - off) / (native - off) for off, native, contrib in rounds)
    print(
        f"ratio of what contrib and ours add: {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
    )


if __name__ == "__main__":
    main()
