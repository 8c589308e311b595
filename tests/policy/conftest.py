"""Fixtures: a policy file, and the problems that loading it reports."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mita_otel.policy import PolicyError, load_with_origins

WriteFile = Callable[[str], Path]
Complaints = Callable[..., list[str]]


@pytest.fixture
def write(tmp_path: Path) -> WriteFile:
    """Write `limits.toml`."""

    def write_file(text: str) -> Path:
        path = tmp_path / "limits.toml"
        path.write_text(text, "utf-8")
        return path

    return write_file


@pytest.fixture
def complaints(tmp_path: Path) -> Complaints:
    """Load a file, and return the reported problems without the folder's name."""

    def load(path: Path, env: dict[str, str] | None = None, environment: str | None = None) -> list[str]:
        try:
            load_with_origins(path, env=env or {}, environment=environment)
        except PolicyError as error:
            return str(error).replace(f"{tmp_path}/", "").split("\n")
        return []

    return load
