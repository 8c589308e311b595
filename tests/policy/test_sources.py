"""Discovery of the policy file."""

from __future__ import annotations

from pathlib import Path

import pytest

from mita_otel.policy import PolicyError, load_policy
from mita_otel.policy.sources import find_file

SPANS = "[sentry]\nmax_spans = {}\n"


def found(folder: Path, env: dict[str, str] | None = None, path: Path | None = None) -> str | None:
    file = find_file(path, env or {}, folder)
    return None if file is None else f"{file[0].relative_to(folder)} {'.'.join(file[1])}".strip()


def test_files_are_discovered_in_this_order(tmp_path: Path) -> None:
    assert found(tmp_path) is None
    (tmp_path / "pyproject.toml").write_text("[tool.mita-otel]\n")
    assert found(tmp_path) == "pyproject.toml tool.mita-otel"
    (tmp_path / "mita-otel.toml").touch()
    assert found(tmp_path) == "mita-otel.toml"
    env = {"MITA_OTEL_POLICY": str(tmp_path / "named.toml")}
    assert found(tmp_path, env) == "named.toml"
    assert found(tmp_path, env, tmp_path / "argument.toml") == "argument.toml"
    assert found(tmp_path, {"MITA_OTEL_POLICY": "  "}) == "mita-otel.toml"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[tool.other]\nx = 1\n",
        "tool = 'mita-otel'\n",
        "[tool]\nmita-otel = 5\n",
        "not toml",
        "a = " + "[" * 9999,
        "[mita-otel]\n",
    ],
)
def test_a_pyproject_without_the_table_is_ignored(tmp_path: Path, text: str) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    assert found(tmp_path) is None


def test_the_table_of_a_pyproject_is_the_policy(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        "[project]\nname = 'x'\n[tool.mita-otel.sentry]\nmax_spans = 5\n"
        "[tool.mita-otel.environments.qa.sentry]\nmax_spans = 6\n[tool.other]\nsentry = 1\n"
    )
    assert load_policy(env={}, folder=tmp_path).sentry.max_spans == 5
    assert load_policy(env={}, folder=tmp_path, environment="qa").sentry.max_spans == 6


def test_a_discovered_but_unreadable_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "mita-otel.toml").symlink_to("gone")
    assert load_policy(env={}, folder=tmp_path)
    (tmp_path / "gone").mkdir()
    with pytest.raises(PolicyError, match=r"mita-otel\.toml: is a directory"):
        load_policy(env={}, folder=tmp_path)
