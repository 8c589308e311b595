"""The commands: `mita-otel`, one file a group of commands; and the scripts that the MITA monitoring guide names.

Commands need the extra `cli`. Without it each script prints which extra is missing.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Final

_PACKAGES: Final = frozenset({"rich", "typer"})
"""What the extra `cli` installs, and every command imports."""
_BAD_INSTALLATION: Final = 2


def main() -> None:
    """Run `mita-otel`."""
    _run("mita_otel.cli.application", "main")


def setup_sentry_alerts() -> None:
    """Run `setup_sentry_alerts`."""
    _run("mita_otel.cli.sentry_alerts", "setup_main")


def test_sentry_integration() -> None:
    """Run `test_sentry_integration`."""
    _run("mita_otel.cli.self_test", "sentry_main")


def test_pagerduty_integration() -> None:
    """Run `test_pagerduty_integration`."""
    _run("mita_otel.cli.self_test", "pagerduty_main")


def generate_performance_report() -> None:
    """Run `generate_performance_report`."""
    _run("mita_otel.cli.report", "performance_main")


def generate_compliance_report() -> None:
    """Run `generate_compliance_report`."""
    _run("mita_otel.cli.report", "compliance_main")


def _run(module: str, function: str) -> None:
    try:
        for package in sorted(_PACKAGES):
            import_module(package)
    except ImportError as error:
        print(  # noqa: T201 - this is the command line
            f"mita-otel's commands need {error.name}; install it with: pip install 'mita-otel[cli]'",
            file=sys.stderr,
        )
        sys.exit(_BAD_INSTALLATION)
    getattr(import_module(module), function)()
