"""Who sends: the public key of a request, and the project that it belongs to.

Source: Sentry's authentication. SDKs of phones say it in the header `X-Sentry-Auth`, web pages in the query, and what
comes through a tunnel in the envelope's own `dsn`, of whose host nothing is believed.
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
    """What a request claims."""

    key: str
    client: str = ""
    """The SDK, as in `sentry.dart.flutter/9.27.0`."""


class Refused(Exception):  # noqa: N818 - it is an answer, not an error of ours
    """Nobody we know.

    Args:
        status: HTTP status of the answer.
        reason: One of a few words, for counting.
        detail: For people.
    """

    def __init__(self, status: int, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.reason = reason
        self.detail = detail


def credentials_of(headers: Mapping[str, str], query: str) -> Credentials | None:
    """Return what a request says of its sender; None if it says nothing.

    Args:
        headers: By name in small letters.
        query: The query string, as it came.
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
    """The apps that are known.

    Args:
        projects: The policy's, by name.
    """

    def __init__(self, projects: Mapping[str, MobileProject]) -> None:
        self._by_id = {project.id: (name, project) for name, project in projects.items()}

    def find(self, project_id: str, credentials: Credentials | None) -> str:
        """Return the name of the project that the request may send to.

        Raises:
            Refused: There is none, or the key is not one of its keys.
        """
        if credentials is None:
            raise Refused(401, "no_key", "the request does not say its key: X-Sentry-Auth, or sentry_key")
        known = self._by_id.get(project_id)
        # The same answer for both, so that nobody learns which projects there are. Keys are public: no secret is
        # compared here.
        if known is None or credentials.key not in known[1].keys:
            raise Refused(403, "unknown_key", "the project or the key is not one of this gateway's")
        return known[0]

    def find_by_dsn(self, header: Mapping[str, Any]) -> str:
        """Return the project that an envelope's `dsn` names, as a tunnel gets it. Its host does not matter.

        Raises:
            Refused: It names none of ours.
        """
        dsn = header.get("dsn")
        if not isinstance(dsn, str) or len(dsn) > _MAX_QUERY:
            raise Refused(401, "no_key", "the envelope does not say its dsn")
        try:
            parts = urlsplit(dsn)
            key = parts.username or ""
        except ValueError as error:
            raise Refused(403, "unknown_key", "the envelope's dsn is none") from error
        return self.find(parts.path.rpartition("/")[2], Credentials(key))
