"""The name of a release."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from mita_otel import environment_variables as variables
from mita_otel.errors import ConfigurationError
from mita_otel.sentry.releases.git_repository import GitRepository

_FORBIDDEN: Final = re.compile(r"[\n\t\f\r/\\]|\A\.{1,2}\Z|\Alatest\Z|\A\s|\s\Z")
_MAX_LENGTH: Final = 200


def release_version(
    given: str | None, package: str | None, repository: GitRepository, env: Mapping[str, str]
) -> str:
    """Return the name of a release: the given one, `SENTRY_RELEASE`, the package's, or the id of the commit.

    Args:
        given: The name from the command line.
        package: An installed distribution; the release is named `name@version`.
        repository: The repository that the commit is taken from.
        env: The environment variables.

    Raises:
        ConfigurationError: No name is found, or Sentry does not accept it.
    """
    name = (given or ("" if package else env.get(variables.SENTRY_RELEASE, ""))).strip()
    if not name and package:
        try:
            name = f"{package}@{version(package)}"
        except PackageNotFoundError as error:
            raise ConfigurationError(f"the package {package} is not installed here") from error
    if not name:
        try:
            name = repository.head()
        except ConfigurationError as error:
            raise ConfigurationError(
                f"no release is given; use --version or set {variables.SENTRY_RELEASE} ({error})"
            ) from error
    if _FORBIDDEN.search(name) or len(name) > _MAX_LENGTH:
        raise ConfigurationError(
            f"{name[:60]!r} is not a valid release name; use at most {_MAX_LENGTH} characters without slashes and line "
            "breaks, like mita-finance@1.0.0"
        )
    return name
