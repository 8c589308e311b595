"""mypy and pyright, both strict, on a user's project."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).with_name("project")
MISTAKES = {
    number
    for number, line in enumerate((PROJECT / "mistakes.py").read_text("utf-8").splitlines(), 1)
    if line.endswith("# mistake")
}


def run(*command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    return subprocess.run(
        command, cwd=folder, env=env, capture_output=True, text=True, timeout=300, check=False
    )


def mypy(file: str, cache: Path) -> set[int]:
    """Return the lines with errors of mypy."""
    options = ["--strict", "--no-error-summary", "--hide-error-context", "--config-file", os.devnull]
    done = run(sys.executable, "-m", "mypy", *options, "--cache-dir", str(cache), file, folder=PROJECT)
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    faults = [line.split(":") for line in done.stdout.splitlines() if ": error:" in line]
    assert {parts[0] for parts in faults} <= {file}, done.stdout
    return {int(parts[1]) for parts in faults}


def pyright(file: str, folder: Path) -> set[int]:
    """Return the lines with errors of pyright."""
    settings = folder / "pyrightconfig.json"
    settings.write_text(json.dumps({"include": [file], "typeCheckingMode": "strict"}))
    shutil.copy(PROJECT / file, folder / file)
    done = run(
        sys.executable,
        "-m",
        "pyright",
        "--outputjson",
        "-p",
        str(settings),
        "--pythonpath",
        sys.executable,
        folder=folder,
    )
    if done.returncode not in {0, 1}:
        pytest.skip(
            f"pyright does not start here (it needs node, or a network to fetch it): {done.stderr[-200:]}"
        )
    found = json.loads(done.stdout)
    assert found["summary"]["filesAnalyzed"] == 1, done.stdout
    return {
        one["range"]["start"]["line"] + 1 for one in found["generalDiagnostics"] if one["severity"] == "error"
    }


@pytest.mark.parametrize(("file", "faults"), [("bank.py", set()), ("mistakes.py", MISTAKES)])
def test_mypy_finds_the_marked_mistakes_only(
    file: str, faults: set[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert mypy(file, tmp_path_factory.getbasetemp() / "mypy") == faults


@pytest.mark.parametrize(("file", "faults"), [("bank.py", set()), ("mistakes.py", MISTAKES)])
def test_pyright_finds_the_marked_mistakes_only(file: str, faults: set[int], tmp_path: Path) -> None:
    assert pyright(file, tmp_path) == faults
