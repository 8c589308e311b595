"""A store with rows of each data class and age."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from audit.kit import Kit, changed, kit
from mita_otel import AuditEvent
from mita_otel.audit.retention.apply import RetentionJob
from mita_otel.audit.retention.holds import LegalHolds
from mita_otel.audit.retention.subjects import Subjects
from mita_otel.latency.sketch import Sketch
from mita_otel.store.tables import table_of
from mita_otel.store.telemetry_tables import BreachRow, ErrorRow, LatencyWindowRow, RedactionRow, SpanRow

DAY_NS = 86_400 * 10**9
NOW_NS = 1_800_000_000 * 10**9


class Store:
    """A kit with a clock that can be set."""

    def __init__(self, made: Kit, now: list[int]) -> None:
        self.kit = made
        self._now = now
        self.holds = LegalHolds(made.database, made.trail, clock_ns=self.clock_ns)
        self.subjects = Subjects(made.database, made.trail, clock_ns=self.clock_ns)
        self.retention = RetentionJob(
            made.policy.retention, made.policy.summary, made.database, made.trail, clock_ns=self.clock_ns
        )

    def clock_ns(self) -> int:
        return self._now[0]

    def set_clock(self, days: float) -> None:
        """Set the clock to a number of days after NOW (negative: before)."""
        self._now[0] = NOW_NS + int(days * DAY_NS)

    def record(self, count: int = 1, **fields: Any) -> str:
        """Record entries now; return their chain."""
        chain = ""
        for number in range(count):
            event = AuditEvent(**{"event_type": "test", "details": {"n": number}, **fields})
            receipt = self.kit.trail.record(event)
            assert receipt is not None
            chain = receipt.chain
        return chain

    def end_chain(self) -> None:
        assert self.kit.trail.close(60)

    def put(self, model: Any, **fields: Any) -> None:
        values = {
            ErrorRow: {"occurred_ns": NOW_NS, "kind": "error", "service": "s", "environment": "test", "category": "payment_processing", "severity": "critical", "name": "ValueError", "message": "m", "details": "{}"},
            BreachRow: {"occurred_ns": NOW_NS, "service": "s", "environment": "test", "kind": "api", "rule": "api.methods.GET", "name": "GET /x", "duration_ms": 600.0, "limit_ms": 500.0, "trace_id": "0" * 32, "span_id": "0" * 16},
            LatencyWindowRow: {"start_s": NOW_NS // 10**9, "length_s": 60, "service": "s", "environment": "test", "kind": "api", "operation": "GET /x", "count": 1, "errors": 0, "breaches": 0, "total_ms": 1.0, "min_ms": 1.0, "max_ms": 1.0, "sketch": Sketch(0.01).pack(), "slowest": "[]"},
            RedactionRow: {"hour_ns": NOW_NS, "service": "s", "environment": "test", "rule": "pan", "count": 1},
            SpanRow: {"trace_id": "0" * 32, "span_id": "0" * 16, "service": "s", "environment": "test", "name": "GET", "kind": "SERVER", "start_ns": NOW_NS, "end_ns": NOW_NS, "duration_ms": 0.0, "failed": False, "exceeded": False, "record": "{}"},
        }[model]  # fmt: skip
        self.kit.ledger.add([])
        with self.kit.database.write() as connection:
            connection.execute(table_of(model).insert().values(**{**values, **fields}))

    def count(self, model: Any) -> int:
        with self.kit.database.read() as connection:
            return connection.exec_driver_sql(f"SELECT count(*) FROM {model.__tablename__}").scalar_one()


@contextmanager
def store(folder: Path, url: str | None = None, **policy: Any) -> Iterator[Store]:
    now = [NOW_NS]
    with kit(folder, url=url, policy=changed(**policy), clock_ns=lambda: now[0]) as made:
        yield Store(made, now)
