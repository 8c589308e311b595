"""The release of a service that names none."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from mita_otel.sentry.default_release import default_release

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false")
    run = subprocess.run(
        ["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True
    )
    return run.stdout.strip()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "service"
    (folder / "app").mkdir(parents=True)
    git(folder, "init", "-q")
    git(folder, "commit", "-q", "--allow-empty", "-m", "first")
    return folder


@pytest.mark.parametrize(
    "prepare",
    [
        (),
        ("pack-refs", "--all"),
        ("checkout", "-q", "--detach"),
        ("checkout", "-q", "-b", "feature/a-branch"),
    ],
)
def test_it_is_the_commit_that_git_names(tree: Path, prepare: tuple[str, ...]) -> None:
    if prepare:
        git(tree, *prepare)
    assert default_release({"SOURCE_VERSION": "v7"}, tree / "app") == git(tree, "rev-parse", "HEAD")


def test_it_is_the_commit_of_a_linked_worktree(tree: Path) -> None:
    git(tree, "worktree", "add", "-q", "../other")
    git(tree.parent / "other", "commit", "-q", "--allow-empty", "-m", "second")
    assert default_release({}, tree.parent / "other") == git(tree.parent / "other", "rev-parse", "HEAD")


def test_without_a_commit_it_is_what_the_platform_names(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    assert default_release({"K_REVISION": "r1", "SOURCE_VERSION": "v7"}, tmp_path) == "v7"
    assert default_release({}, tmp_path) is None
    (tmp_path / ".git" / "HEAD").write_bytes(b"\xff\xfe")
    assert default_release({}, tmp_path) is None
