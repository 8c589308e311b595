"""Runs the examples."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from e2e.service import Service, clean_environment

EXAMPLES = Path(__file__).parents[2] / "examples"

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run_script(tmp_path: Path) -> Run:
    """Return a function that runs an example script in an empty working directory and captures its output."""

    def run(script: Path, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(script)],
            cwd=tmp_path,
            env=clean_environment({"PYTHONIOENCODING": "utf-8", **(env or {})}),
            capture_output=True,
            encoding="utf-8",
            timeout=90,
            check=False,
        )

    return run


@pytest.fixture
def start_payments() -> Iterator[Callable[..., Service]]:
    """Return a function that starts the example service. Services that still run after the test are killed."""
    started: list[Service] = []

    def start(env: Mapping[str, str], **options: Any) -> Service:
        service = Service(EXAMPLES / "payments", env, **options)
        started.append(service)
        return service

    yield start
    for service in started:
        service.kill()
