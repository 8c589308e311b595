"""`make demo` draws every kind of trace and a table, and reports a failure in one message."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from examples.conftest import EXAMPLES, Run

pytestmark = pytest.mark.e2e

TITLES = [
    "mita-otel demo",
    "a healthy read",
    "a slow balance",
    "a slow query",
    "a query in a loop",
    "a payment over its limit",
    "a failed payment",
    "a background task",
    "redacted values",
    "all operations",
    "next",
]
SEEN = [
    r"│  ▲ \d{3} ms > 300 ms  api\.financial\.GET",
    r"▲ \d{3} ms > 200 ms  database\.SELECT",
    r"▲ 1,\d{3} ms > 1,000 ms  api\.financial\.PUT",
    r"▲ \d{3} ms > 400 ms  database\.UPDATE",
    r"✗ routes\.payments\.CardDeclinedError: do not honour: card \[redacted:pan\], cvv \[redacted:cvv\]",
    r"SELECT transactions ×8",
    r"background_task +[ █▌▐]+ \d+",
    r"url\.query  card_number=\[redacted:pan\]&pin=\[redacted:pin\]",
    r"FROM cards WHERE number = \?",
    r"operation +count +failed +p50 +p95 +limit +breaches",
    r"GET /api/accounts/\{account_id\}/balance +\d+ +- +[\d.,]+ ms +[\d.,]+ ms +300 ms +\d+",
    r"stayed within its 500 ms limit; its query exceeded the 200 ms limit for SELECT",
    r"8 secrets were sent.*none was exported",
    r"SENTRY_DSN=https://… opentelemetry-instrument uvicorn app:app",
]


def test_the_demo_draws_every_kind_of_trace_and_exits(run_script: Run) -> None:
    ran = run_script(EXAMPLES / "payments" / "demo.py")
    assert (ran.returncode, ran.stderr) == (0, "")
    lines = ran.stdout.splitlines()
    assert [match[1] for line in lines if (match := re.match(r"([\w -]+?) ─{20,}$", line))] == TITLES
    for pattern in SEEN:
        assert re.search(pattern, ran.stdout), pattern
    assert max(map(len, lines)) <= 100
    assert "\x1b" not in ran.stdout


def test_the_demo_ignores_the_users_settings(run_script: Run) -> None:
    settings = {
        "SENTRY_DSN": "http://key@127.0.0.1:9/1",
        "OTEL_SDK_DISABLED": "true",
        "ENVIRONMENT": "development",
        "DATABASE_URL": "postgresql://user@127.0.0.1:9/nothing",
    }
    assert run_script(EXAMPLES / "payments" / "demo.py", settings).returncode == 0


@pytest.mark.parametrize(
    ("line", "reported"),
    [
        ("raise RuntimeError('no ledger today')", "RuntimeError: no ledger today"),
        ("import a_module_that_is_not_there", "No module named 'a_module_that_is_not_there'"),
    ],
)
def test_a_service_that_does_not_start_is_reported_in_one_message(
    run_script: Run, tmp_path: Path, line: str, reported: str
) -> None:
    broken = tmp_path / "payments"
    shutil.copytree(EXAMPLES / "payments", broken, ignore=shutil.ignore_patterns("__pycache__", "*.db*"))
    (broken / "app.py").write_text(f"{line}\n")
    ran = run_script(broken / "demo.py")
    assert ran.returncode == 1
    assert ran.stderr.startswith("\nThe demo failed: the service stopped during its start")
    assert reported in ran.stderr
    assert "demo.py" not in ran.stderr
