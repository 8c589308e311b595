"""Where the examples are, and how they are run."""

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
    """Run a script of the examples to its end, its output piped, in an empty working directory."""

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
    """Start the example service; what still runs at the end is killed."""
    started: list[Service] = []

    def start(env: Mapping[str, str], **options: Any) -> Service:
        service = Service(EXAMPLES / "payments", env, **options)
        started.append(service)
        return service

    yield start
    for service in started:
        service.kill()
