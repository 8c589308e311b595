"""Runs a few lines of Python in a new interpreter, since `configure()` works once per process."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2e.service import clean_environment

_PREAMBLE = """\
import json, logging, sys
logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
def answer(value):
    sys.stdout.flush()
    print("ANSWER " + json.dumps(value), flush=True)
"""


@dataclass(frozen=True)
class Ran:
    """The result of a script."""

    code: int
    stdout: str
    stderr: str

    @property
    def answer(self) -> Any:
        lines = [line for line in self.stdout.splitlines() if line.startswith("ANSWER ")]
        assert lines, f"the script answered nothing; exit {self.code}\n{self.stdout}\n{self.stderr}"
        return json.loads(lines[-1].removeprefix("ANSWER "))

    def log(self, part: str) -> list[str]:
        """Return the lines on stderr that contain `part`."""
        return [line for line in self.stderr.splitlines() if part in line]


def run_script(
    code: str,
    folder: Path,
    env: Mapping[str, str | None] | None = None,
    *,
    timeout: float = 60,
    check: bool = True,
) -> Ran:
    """Run the code (which may call `answer(value)`) in `folder`; fails if it does, unless `check` is False."""
    done = subprocess.run(
        [sys.executable, "-c", _PREAMBLE + textwrap.dedent(code)],
        cwd=folder,
        env=clean_environment(env),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    if check and done.returncode:
        raise AssertionError(f"the script ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
    return Ran(done.returncode, done.stdout, done.stderr)
