"""What git knows: where the work tree stands, and the commits since then."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mita_otel.errors import ConfigurationError

_TIMEOUT_S: Final = 60
_MAX_SAID: Final = 400
_UNSHALLOW: Final = "git fetch --unshallow (in GitHub Actions: actions/checkout with fetch-depth: 0)"
_FIELD: Final = "\x1f"
_END: Final = "\x1e"
_FORMAT: Final = _FIELD.join(("%H", "%an", "%ae", "%aI", "%B")) + _END


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit."""

    id: str
    author_name: str
    author_email: str
    timestamp: str
    """When it was written, ISO 8601."""
    message: str


class Repository:
    """A git repository.

    Args:
        folder: In its work tree.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def head(self) -> str:
        """Return the current commit's id.

        Raises:
            ConfigurationError: There is no git, no repository, or no commit. So with the methods below.
        """
        return self._git("rev-parse", "HEAD").strip()

    def shallow(self) -> str:
        """Return how to get the history that a shallow clone lacks; empty: it is all here."""
        return _UNSHALLOW if self._git("rev-parse", "--is-shallow-repository").strip() == "true" else ""

    def find(self, named: str) -> str:
        """Return the id of a commit by any name that git takes: an id, a tag, a branch."""
        try:
            return self._git("rev-parse", "--verify", "--end-of-options", f"{named}^{{commit}}").strip()
        except ConfigurationError as error:
            self.head()  # says what is wrong, if it is not the name
            lacking = self.shallow()
            mend = f"; this clone is shallow, fetch the rest: {lacking}" if lacking else ""
            raise ConfigurationError(f"git knows no commit {named} here{mend}") from error

    def knows(self, commit: str) -> bool:
        """Return whether a commit is among those that led to the current one."""
        try:
            self._git("merge-base", "--is-ancestor", commit, "HEAD")
        except ConfigurationError:
            return False
        return True

    def commits(self, since: str | None, most: int) -> list[Commit]:
        """Return the commits that led to the current one, newest first.

        Args:
            since: Only those after this one. None: all.
            most: How many at most.
        """
        told = self._git(
            "log", f"--max-count={most}", f"--format={_FORMAT}", f"{since}..HEAD" if since else "HEAD", "--"
        )
        found = (one.strip("\n").split(_FIELD, 4) for one in told.split(_END))
        return [Commit(*fields) for fields in found if len(fields) == 5]

    def _git(self, *arguments: str) -> str:
        try:
            done = subprocess.run(  # noqa: S603 - no shell, and the arguments are ours
                ["git", *arguments],  # noqa: S607 - the git that is installed
                cwd=self._folder,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_TIMEOUT_S,
                env={**os.environ, "LC_ALL": "C"},  # what it says is read below
                check=False,
            )
        except FileNotFoundError as error:
            raise ConfigurationError("git is not installed") from error
        except subprocess.TimeoutExpired as error:
            raise ConfigurationError(f"git {arguments[0]} took longer than {_TIMEOUT_S} seconds") from error
        if done.returncode:
            if "not a git repository" in done.stderr:
                raise ConfigurationError(f"{self._folder} is in no git repository")
            said = " ".join(done.stderr.split())[:_MAX_SAID] or f"exit status {done.returncode}"
            raise ConfigurationError(f"git {arguments[0]}: {said}")
        return done.stdout
