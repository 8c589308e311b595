"""Without the extra `cli`, each command names the missing extra in one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from e2e.script import run_script
from e2e.service import clean_environment

SCRIPTS = [
    "main", "setup_sentry_alerts", "test_sentry_integration", "test_pagerduty_integration",
    "generate_performance_report", "generate_compliance_report",
]  # fmt: skip


@pytest.mark.parametrize("package", ["rich", "typer"])
@pytest.mark.parametrize("script", SCRIPTS)
def test_a_command_names_the_missing_extra(tmp_path: Path, script: str, package: str) -> None:
    code = f"import sys; sys.modules['{package}'] = None; from mita_otel import cli; cli.{script}()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    said = f"mita-otel's commands need {package}; install it with: pip install 'mita-otel[cli]'\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", said)


def test_the_console_exporter_needs_no_extra(tmp_path: Path) -> None:
    done = run_script(
        """
        sys.modules["rich"] = sys.modules["typer"] = None
        import mita_otel
        from opentelemetry import trace
        telemetry = mita_otel.configure(exporters=["console"])
        with trace.get_tracer("bank").start_as_current_span("settle"):
            pass
        telemetry.shutdown()
        answer(None)
        """,
        tmp_path,
    )
    assert "settle" in done.stdout and "trace " in done.stdout
