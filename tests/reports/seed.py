"""Fills a store with two weeks of a bank: traffic by time of day, a slow evening, errors, logins, an audit trail."""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime
from typing import Any

from audit.kit import Kit
from mita_otel import AuditEvent
from mita_otel.latency.window import OpenWindow
from mita_otel.policy import default_policy
from mita_otel.redaction import Redactor
from mita_otel.store.database import add_counts, insert_rows
from mita_otel.store.tables import table_of
from mita_otel.store.telemetry_tables import BreachRow, ErrorRow, RedactionRow
from mita_otel.store.windows import StoreWindows

NOW = datetime(2026, 11, 25, 9, 30, tzinfo=UTC)
NOW_S = int(NOW.timestamp())
DAY_S = 86_400
POLICY = default_policy()

OPERATIONS = (
    ("api", "GET /api/accounts/{id}/balance", "api.financial.GET", 300.0, 90),
    ("api", "POST /api/transactions", "api.financial.POST", 800.0, 240),
    ("api", "PUT /api/payments/{id}", "api.financial.PUT", 1000.0, 420),
    ("api", "GET /api/budgets", "api.methods.GET", 500.0, 160),
    ("financial", "payment_processing", "financial.payment_processing", 1200.0, 400),
    ("database", "SELECT accounts", "database.SELECT", 200.0, 12),
    ("database", "INSERT transactions", "database.INSERT", 300.0, 30),
    ("background", "nightly_statement", "background.default", 5000.0, 2400),
)
ERRORS = (
    ("payment_processing", "critical", "GatewayTimeout", "the gateway did not answer within 5 s", 30),
    ("transaction_processing", "critical", "InsufficientFunds", "no funds for transaction", 12),
    ("authentication", "high", "InvalidCredentials", "wrong password", 45),
    ("data_validation", "medium", "ValueError", "=cmd|' /C calc'!A0 <b>amount</b> | must be above 0", 20),
    ("security_violation", "security_critical", "TokenForged", "signature does not fit", 2),
)


def fill(kit: Kit, *, days: int = 14, step_s: int = 900, seed: int = 7) -> None:
    """Fill the store. Equal seeds give equal data."""
    chance = random.Random(seed)
    kit.ledger.add([])
    _windows(kit, chance, days, step_s)
    with kit.database.write() as connection:
        _errors(connection, chance, days)
        keys = ("hour_ns", "service", "environment", "rule")
        add_counts(connection, table_of(RedactionRow), keys, list(_redactions(chance, days)))


def fill_trail(kit: Kit, set_clock: Any) -> None:
    """Record the trail of several processes."""
    for day in range(5, 0, -1):
        set_clock((NOW_S - day * DAY_S) * 10**9)
        for number in range(20):
            kind = ("payment_process", "login", "login_failed", "data_access", "configuration_change")[
                number % 5
            ]
            kit.trail.record(
                AuditEvent(
                    event_type=kind,
                    user_id=f"user-{number % 4}",
                    outcome="denied" if kind == "login_failed" else "success",
                    resource_id=f"r-{number}",
                )
            )
        kit.trail.close(30)
    set_clock(NOW_S * 10**9)


def _windows(kit: Kit, chance: random.Random, days: int, step_s: int) -> None:
    stores = [
        StoreWindows(
            kit.database, Redactor(POLICY.redaction), service=name, environment="production", migrate=True
        )
        for name in ("payments", "accounts")
    ]
    start_s = (NOW_S - days * DAY_S) // step_s * step_s
    breaches: list[dict[str, Any]] = []
    for worker, store in enumerate(stores):
        windows = []
        for at in range(start_s, NOW_S - step_s, step_s):
            day = (at - start_s) // DAY_S
            if day == days - 4 and 3 <= at % DAY_S // 3600 < 7:
                continue  # a night without measurements
            bad = day == days - 2 and 17 <= at % DAY_S // 3600 < 20
            windows += [
                _window(at, step_s, operation, chance, worker, bad=bad, breaches=breaches)
                for operation in OPERATIONS
            ]
        store.write_windows(windows)
    with kit.database.write() as connection:
        insert_rows(connection, table_of(BreachRow), breaches)


def _window(
    at: int,
    step_s: int,
    operation: Any,
    chance: random.Random,
    worker: int,
    *,
    bad: bool,
    breaches: list[Any],
) -> Any:
    kind, name, rule, limit_ms, typical_ms = operation
    hour = at % DAY_S / 3600
    load = 1 + 3 * max(0.0, math.sin((hour - 6) / 24 * 2 * math.pi))
    opened = OpenWindow(at, step_s, kind, name, POLICY.summary.relative_error, 3)
    opened.rule, opened.limit_ms = rule, limit_ms
    for number in range(max(1, int(load * chance.uniform(1, 4)))):
        duration = typical_ms * chance.lognormvariate(0, 0.35) * (2.6 if bad else 1.0)
        breached = duration > limit_ms
        trace = chance.getrandbits(128)
        ended_s = at + chance.random() * step_s
        opened.add(
            duration, trace, ended_s, failed=chance.random() < (0.03 if bad else 0.004), breached=breached
        )
        if breached:
            breaches.append({
                "occurred_ns": int(ended_s * 1e9), "service": ("payments", "accounts")[worker],
                "environment": "production", "kind": kind, "rule": rule, "name": name, "duration_ms": round(duration, 3),
                "limit_ms": limit_ms, "trace_id": f"{trace:032x}", "span_id": f"{number:016x}",
            })  # fmt: skip
    return opened.freeze()


def _errors(connection: Any, chance: random.Random, days: int) -> None:
    rows = []

    def row(
        kind: str,
        category: str,
        severity: str,
        name: str,
        message: str,
        details: str = "{}",
        user: str | None = None,
    ) -> None:
        rows.append({
            "occurred_ns": int((NOW_S - chance.random() * days * DAY_S) * 1e9), "kind": kind, "service": "payments",
            "environment": "production", "category": category, "severity": severity, "name": name, "message": message,
            "details": details, "user_id": user, "trace_id": f"{chance.getrandbits(128):032x}",
        })  # fmt: skip

    for category, severity, name, message, count in ERRORS:
        for number in range(count):
            row("error", category, severity, name, message, user=f"user-{number % 4}")
    for name, severity, count in (
        ("failed_login", "high", 60),
        ("brute_force_suspected", "security_critical", 3),
        ("mfa_reset", "medium", 9),
    ):
        for _ in range(count):
            row("security", "authentication", severity, name, f"security event: {name}")
    for status, count in (("compliant", 40), ("non_compliant", 2)):
        for _ in range(count):
            row(
                "compliance",
                "compliance_issue",
                "low",
                "PCI_DSS",
                "3.4",
                f'{{"mita.compliance.status":"{status}"}}',
            )
    insert_rows(connection, table_of(ErrorRow), rows)


def _redactions(chance: random.Random, days: int) -> Any:
    hour_ns = 3600 * 10**9
    now_ns = NOW_S * 10**9
    for hours in range(days * 24):
        for rule, typical in (
            ("pan", 9),
            ("cvv", 4),
            ("password", 6),
            ("token", 14),
            ("sql", 40),
            ("iban", 2),
        ):
            yield {
                "hour_ns": now_ns - now_ns % hour_ns - hours * hour_ns, "service": "payments", "environment": "production",
                "rule": rule, "count": chance.randint(0, typical),
            }  # fmt: skip
