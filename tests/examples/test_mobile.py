"""Plays the recorded sessions against a service, and checks the output and the error message."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from e2e.service import clean_environment
from leaks import shows

MOBILE = Path(__file__).parents[2] / "examples" / "mobile"


def test_the_demo_draws_one_trace_of_app_and_backend_without_card_numbers(
    run_script: Callable[..., Any],
) -> None:
    done = run_script(MOBILE / "demo.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("one trace of mita-backend and mita-mobile") == 2
    assert "└─ POST /api/payments 201" in done.stdout
    assert "mobile.screens.TransactionScreen" in done.stdout
    assert "payment_processing, critical: PaymentDeclinedException" in done.stdout
    assert "[redacted:pan]" in done.stdout
    assert not shows(done.stdout)
    assert " 4" not in "".join(
        line for line in done.stdout.splitlines() if line.startswith(("payment:", "crash:"))
    )


def test_a_missing_gateway_is_reported_in_one_message() -> None:
    done = subprocess.run(
        [sys.executable, str(MOBILE / "play.py"), "http://127.0.0.1:9", "--session", "crash"],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "no service listens at http://127.0.0.1:9" in done.stderr
    assert "Traceback" not in done.stderr
