"""The release of a service that names none: the commit of its Git working tree, or what the platform says.

sentry-sdk finds the same release, but starts `git` for it. A start of ours starts no other program.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_COMMIT: Final = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_OF_PLATFORMS: Final = (
    "HEROKU_BUILD_COMMIT",
    "HEROKU_SLUG_COMMIT",
    "SOURCE_VERSION",
    "CODEBUILD_RESOLVED_SOURCE_VERSION",
    "CIRCLE_SHA1",
    "GAE_DEPLOYMENT_ID",
    "K_REVISION",
)
"""Variables of platforms that name what is deployed, in sentry-sdk's order."""


def default_release(env: Mapping[str, str], folder: Path | None = None) -> str | None:
    """Return the release, or None if neither a Git working tree nor the platform names one.

    Args:
        env: The environment variables.
        folder: A folder of the working tree. None: the current one.
    """
    try:
        commit = _commit(folder or Path.cwd())
    except (OSError, ValueError):
        commit = None
    return commit or next((env[name] for name in _OF_PLATFORMS if env.get(name)), None)


def _commit(folder: Path) -> str | None:
    """Return the commit that is checked out."""
    repository = next((one / ".git" for one in (folder, *folder.parents) if (one / ".git").exists()), None)
    if repository is None:
        return None
    if repository.is_file():  # a worktree or a submodule: the file names the folder
        repository = repository.parent / repository.read_text("utf-8").removeprefix("gitdir:").strip()
    head = (repository / "HEAD").read_text("utf-8").strip()
    if not head.startswith("ref:"):
        return head if _COMMIT.fullmatch(head) else None
    branch = head.removeprefix("ref:").strip()
    common = repository / "commondir"
    shared = repository / common.read_text("utf-8").strip() if common.is_file() else repository
    for place in (repository, shared):
        if (place / branch).is_file():
            commit = (place / branch).read_text("utf-8").strip()
            return commit if _COMMIT.fullmatch(commit) else None
    packed = shared / "packed-refs"
    for line in packed.read_text("utf-8").splitlines() if packed.is_file() else ():
        commit, _, name = line.partition(" ")
        if name == branch and _COMMIT.fullmatch(commit):
            return commit
    return None
