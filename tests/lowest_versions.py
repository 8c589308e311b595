"""Prints constraints for pip: each dependency of the project in the lowest version that pyproject.toml allows."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

_PROJECT = Path(__file__).parents[1] / "pyproject.toml"
_SKIPPED = {"store", "postgresql", "reports", "alerts", "apprise", "mobile", "all"}
"""Extras that the tests of the lowest versions do not install."""


def lowest() -> Iterator[str]:
    """Yield `name==version` for each dependency with a lower bound."""
    project = tomllib.loads(_PROJECT.read_text("utf-8"))["project"]
    extras = project["optional-dependencies"].items()
    requirements = [
        *project["dependencies"],
        *(one for name, own in extras if name not in _SKIPPED for one in own),
    ]
    for requirement in requirements:
        found = re.match(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?>=([^,;]+)", requirement)
        if found:
            yield f"{found[1]}=={_version(found[1], found[2])}"


def _version(name: str, lowest: str) -> str:
    """Return the version: of OpenTelemetry exactly the first, since its packages pin each other; of others any patch."""
    if "b" in lowest or lowest.count(".") > 1:
        return lowest
    return f"{lowest}.0" if name.startswith("opentelemetry-") else f"{lowest}.*"


if __name__ == "__main__":
    sys.stdout.write("".join(f"{one}\n" for one in lowest()))
