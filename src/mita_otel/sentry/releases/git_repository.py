"""The current commit of a git work tree, and its history."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mita_otel.errors import ConfigurationError

_TIMEOUT_S: Final = 60
_MAX_REASON: Final = 400
_UNSHALLOW: Final = "git fetch --unshallow (in GitHub Actions: actions/checkout with fetch-depth: 0)"
_FIELD: Final = "\x1f"
_END: Final = "\x1e"
_FORMAT: Final = _FIELD.join(("%H", "%an", "%ae", "%aI", "%B")) + _END


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit as git records it."""

    id: str
    author_name: str
    author_email: str
    timestamp: str
    """Author date, ISO 8601."""
    message: str


class GitRepository:
    """A git repository.

    Args:
        folder: A folder in its work tree.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def head(self) -> str:
        """Return the id of the current commit.

        Raises:
            ConfigurationError: git, the repository or a commit is missing. The methods below raise it as well.
        """
        return self._git("rev-parse", "HEAD").strip()

    def unshallow_command(self) -> str:
        """Return the command that fetches the missing history of a shallow clone; empty: the clone is complete."""
        return _UNSHALLOW if self._git("rev-parse", "--is-shallow-repository").strip() == "true" else ""

    def find(self, named: str) -> str:
        """Return the id of a commit that is given by id, tag or branch."""
        try:
            return self._git("rev-parse", "--verify", "--end-of-options", f"{named}^{{commit}}").strip()
        except ConfigurationError as error:
            self.head()  # raises first if the repository itself is the problem
            command = self.unshallow_command()
            fix = f"; this clone is shallow, fetch its history: {command}" if command else ""
            raise ConfigurationError(f"git finds no commit {named} here{fix}") from error

    def has_ancestor(self, commit: str) -> bool:
        """Return whether a commit is an ancestor of the current one, or the current one."""
        try:
            self._git("merge-base", "--is-ancestor", commit, "HEAD")
        except ConfigurationError:
            return False
        return True

    def commits(self, since: str | None, most: int) -> list[Commit]:
        """Return the current commit and its ancestors, newest first.

        Args:
            since: Only commits after this one. None: all.
            most: Maximum number of commits.
        """
        log = self._git(
            "log", f"--max-count={most}", f"--format={_FORMAT}", f"{since}..HEAD" if since else "HEAD", "--"
        )
        found = (one.strip("\n").split(_FIELD, 4) for one in log.split(_END))
        return [Commit(*fields) for fields in found if len(fields) == 5]

    def _git(self, *arguments: str) -> str:
        try:
            done = subprocess.run(  # noqa: S603 - no shell, and no argument from outside
                ["git", *arguments],  # noqa: S607 - the git that is installed
                cwd=self._folder,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_TIMEOUT_S,
                env={**os.environ, "LC_ALL": "C"},  # messages are compared below
                check=False,
            )
        except FileNotFoundError as error:
            raise ConfigurationError("git is not installed") from error
        except subprocess.TimeoutExpired as error:
            raise ConfigurationError(f"git {arguments[0]} took longer than {_TIMEOUT_S} seconds") from error
        if done.returncode:
            if "not a git repository" in done.stderr:
                raise ConfigurationError(f"{self._folder} is not in a git repository")
            reason = " ".join(done.stderr.split())[:_MAX_REASON] or f"exit status {done.returncode}"
            raise ConfigurationError(f"git {arguments[0]}: {reason}")
        return done.stdout
