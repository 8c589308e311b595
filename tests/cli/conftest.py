"""Runs the command line in this process or in a separate one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from e2e.service import clean_environment
from mita_otel import cli
from sentry.api.conftest import _no_pauses, sentry  # noqa: F401 - fixtures

COMMAND = Path(sys.executable).with_name("mita-otel")


class Said(NamedTuple):
    """Exit status and output of a command."""

    code: object
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


Command = Callable[..., Said]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run `mita-otel` in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, env: dict[str, str] | None = None) -> Said:
        for name, value in (env or {}).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["mita-otel", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        captured = capsys.readouterr()
        return Said(end.value.code or 0, captured.out, captured.err)

    return run


@pytest.fixture
def process(tmp_path: Path) -> Callable[..., Any]:
    """Run `mita-otel` (or a line of the shell) as a process, in an empty folder."""

    def run(*arguments: str, line: str | None = None, **env: str) -> Said:
        done = subprocess.run(
            ["bash", "-c", line] if line else [str(COMMAND), *arguments],
            cwd=tmp_path,
            env=clean_environment({"MITA": str(COMMAND), **env}),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    return run
