"""Authentication: the public key of a request, and its project.

Source: Sentry's authentication. Mobile SDKs send the key in the header `X-Sentry-Auth`, web pages in the query, and
tunnelled envelopes in their `dsn`, whose host is ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from mita_otel.policy.mobile import MobileProject

_MAX_HEADER: Final = 2048
_MAX_QUERY: Final = 2048
_SCHEME: Final = "sentry"


@dataclass(frozen=True, slots=True)
class Credentials:
    """The credentials of a request."""

    key: str
    client: str = ""
    """The SDK, for example `sentry.dart.flutter/9.27.0`."""


class Refused(Exception):  # noqa: N818 - it is a response, not an error of the gateway
    """The request is refused.

    Args:
        status: HTTP status of the response.
        reason: A short code, for counting.
        detail: A sentence for people.
    """

    def __init__(self, status: int, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.reason = reason
        self.detail = detail


def credentials_of(headers: Mapping[str, str], query: str) -> Credentials | None:
    """Return the credentials of a request, or None.

    Args:
        headers: Headers by lower-case name.
        query: The raw query string.
    """
    for name in ("x-sentry-auth", "authorization"):
        said = _from_header(headers.get(name, ""))
        if said is not None:
            return said
    if len(query) > _MAX_QUERY:
        return None
    try:
        parameters = parse_qs(query, max_num_fields=32)
    except ValueError:
        return None
    key = parameters.get("sentry_key", [""])[-1]
    client = parameters.get("sentry_client", [""])[-1]
    return Credentials(key, _shown(client)) if key else None


def _from_header(header: str) -> Credentials | None:
    scheme, _, rest = header[:_MAX_HEADER].strip().partition(" ")
    if scheme.lower() != _SCHEME:
        return None
    pairs = (pair.partition("=") for pair in rest.split(","))
    said = {name.strip().lower(): value.strip().strip('"') for name, _, value in pairs}
    key = said.get("sentry_key", "")
    return Credentials(key, _shown(said.get("sentry_client", ""))) if key else None


def _shown(client: str) -> str:
    return "".join(char for char in client if char.isascii() and (char.isalnum() or char in "./_+-"))[:64]


class Projects:
    """The known apps.

    Args:
        projects: The policy's projects by name.
    """

    def __init__(self, projects: Mapping[str, MobileProject]) -> None:
        self._by_id = {project.id: (name, project) for name, project in projects.items()}

    def find(self, project_id: str, credentials: Credentials | None) -> str:
        """Return the name of the project that a request may send to.

        Raises:
            Refused: The project is unknown, or the key is not one of its keys.
        """
        if credentials is None:
            raise Refused(401, "no_key", "the request has no key: neither X-Sentry-Auth nor sentry_key")
        known = self._by_id.get(project_id)
        # The same response for both, so that it does not reveal which projects exist. Keys are public, so no secret
        # is compared here.
        if known is None or credentials.key not in known[1].keys:
            raise Refused(403, "unknown_key", "this gateway does not know the project or the key")
        return known[0]

    def find_by_dsn(self, header: Mapping[str, Any]) -> str:
        """Return the project of a tunnelled envelope's `dsn`. The host is ignored.

        Raises:
            Refused: The `dsn` is missing, invalid or unknown.
        """
        dsn = header.get("dsn")
        if not isinstance(dsn, str) or len(dsn) > _MAX_QUERY:
            raise Refused(401, "no_key", "the envelope has no dsn")
        try:
            parts = urlsplit(dsn)
            key = parts.username or ""
        except ValueError as error:
            raise Refused(403, "unknown_key", "the envelope's dsn is invalid") from error
        return self.find(parts.path.rpartition("/")[2], Credentials(key))
