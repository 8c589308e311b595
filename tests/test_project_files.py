"""Files for contributors agree with each other: supported Pythons, versions of tools, the release process."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def supported() -> list[str]:
    prefix = "Programming Language :: Python :: "
    return [one.removeprefix(prefix) for one in PROJECT["classifiers"] if one.startswith(prefix)]


def test_test_all_runs_each_supported_python() -> None:
    match = re.search(r"^VERSIONS = (.*)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert match
    assert match[1].split() == supported()


def test_the_workflow_runs_each_supported_python() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text("utf-8"))
    assert workflow["jobs"]["test"]["strategy"]["matrix"]["python"] == supported()


def test_the_debian_image_has_the_pythons_for_test_all() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    match = re.search(r"^DEBIAN_VERSIONS = (.*)$", makefile, re.MULTILINE)
    assert match
    script = (ROOT / ".ci" / "in-debian").read_text("utf-8")
    assert re.findall(r"python([\d.]+)-venv", script) == match[1].split()


def test_pre_commit_uses_the_versions_of_the_constraints() -> None:
    settings = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))
    hooks = [hook for repository in settings["repos"] for hook in repository["hooks"]]
    pinned = {pin for hook in hooks for pin in hook.get("additional_dependencies", ())}
    assert pinned
    assert pinned <= set((ROOT / "constraints.txt").read_text("utf-8").splitlines())


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A project with version 1.2.0, whose changelog has the sections 1.2.0 and 1.1.0."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "release-notes", tmp_path / ".ci")
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.2.0"\n')
    (tmp_path / "CHANGELOG.md").write_text(
        "# Changelog\n\n## 1.2.0 (2026-12-01)\n\n- New.\n\n## 1.1.0 (2026-11-01)\n\n- Old.\n"
    )
    return tmp_path


def release_notes(folder: Path, version: str) -> subprocess.CompletedProcess[str]:
    command: list[Path | str] = [folder / ".ci" / "release-notes", version]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_release_notes_are_the_section_of_the_changelog(release: Path) -> None:
    done = release_notes(release, "1.2.0")
    assert (done.returncode, done.stdout) == (0, "\n- New.\n")


def test_a_release_needs_the_version_in_the_project(release: Path) -> None:
    done = release_notes(release, "1.1.0")
    assert (done.returncode, done.stderr) == (1, "pyproject.toml does not have version 1.1.0\n")


def test_a_release_needs_a_dated_section_in_the_changelog(release: Path) -> None:
    changelog = release / "CHANGELOG.md"
    changelog.write_text(changelog.read_text().replace("(2026-12-01)", "(unreleased)"))
    done = release_notes(release, "1.2.0")
    assert (done.returncode, done.stderr) == (1, 'CHANGELOG.md has no section "## 1.2.0 (date)"\n')
