"""How a release is called."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from mita_otel import environment_variables as variables
from mita_otel.errors import ConfigurationError
from mita_otel.sentry.releases.repository import Repository

_FORBIDDEN: Final = re.compile(r"[\n\t\f\r/\\]|\A\.{1,2}\Z|\Alatest\Z|\A\s|\s\Z")
_MAX_LENGTH: Final = 200


def release_version(
    given: str | None, package: str | None, repository: Repository, env: Mapping[str, str]
) -> str:
    """Return the release's name: the one given, `SENTRY_RELEASE`, the package's, else the commit's id.

    Args:
        given: As on the command line.
        package: A distribution that is installed: the release is `name@version`.
        repository: Where the work tree stands.
        env: The environment variables.

    Raises:
        ConfigurationError: There is none, or Sentry would not take it.
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
                f"which release? Give --version, or set {variables.SENTRY_RELEASE} ({error})"
            ) from error
    if _FORBIDDEN.search(name) or len(name) > _MAX_LENGTH:
        raise ConfigurationError(
            f"{name[:60]!r} is no name of a release: no slash, no line break, at most {_MAX_LENGTH} characters, as in "
            "mita-finance@1.0.0"
        )
    return name
