"""The address of Sentry's API, with organization and token, from environment variables."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from mita_otel import environment_variables as variables
from mita_otel.errors import ConfigurationError

_DEFAULT: Final = "https://sentry.io"
_REGION: Final = re.compile(r"\.ingest\.(us|de)\.sentry\.io\Z")
_ORG_TOKEN: Final = re.compile(r"sntrys_([A-Za-z0-9+/=_-]+)_[^_]+\Z")
"""Organization tokens of Sentry: they contain the organization and the region."""
_SLUG: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}\Z")


@dataclass(frozen=True, slots=True)
class SentryAddress:
    """Sentry's API for one organization."""

    url: str
    """Base URL, as in `https://de.sentry.io`."""
    org: str
    """Slug of the organization."""
    token: str = field(repr=False)

    @classmethod
    def from_environment(cls, env: Mapping[str, str], *, org: str | None = None) -> SentryAddress:
        """Return the address that the variables give.

        Args:
            env: The environment variables.
            org: The organization. None: `SENTRY_ORG`, else the token's.

        Raises:
            ConfigurationError: A variable is missing or invalid.
        """
        token = env.get(variables.SENTRY_AUTH_TOKEN, "").strip()
        if not token:
            raise ConfigurationError(
                f"{variables.SENTRY_AUTH_TOKEN} is not set; create a token in Sentry under Settings, Auth Tokens"
            )
        claims = _claims(token)
        name = (org or env.get(variables.SENTRY_ORG, "") or str(claims.get("org") or "")).strip()
        if not name:
            raise ConfigurationError(f"no organization is given; use --org or set {variables.SENTRY_ORG}")
        check_slug(name, "an organization")
        url = (
            env.get(variables.SENTRY_URL, "").strip()
            or str(claims.get("region_url") or "")
            or _region_of_dsn(env)
        )
        parts = urlsplit(url)
        if parts.scheme not in {"https", "http"} or not parts.hostname:
            raise ConfigurationError(
                f"{variables.SENTRY_URL} is not a web address; write it like https://de.sentry.io"
            )
        return cls(url.rstrip("/"), name, token)


def check_slug(text: str, owner: str) -> str:
    """Return a slug.

    Args:
        text: The slug.
        owner: What it belongs to, for the message: `an organization`.

    Raises:
        ConfigurationError: It is not a slug.
    """
    if not _SLUG.match(text):
        raise ConfigurationError(f"{text!r} is not the slug of {owner}; copy it from Sentry's address bar")
    return text


def _region_of_dsn(env: Mapping[str, str]) -> str:
    host = urlsplit(env.get(variables.SENTRY_DSN, "").strip()).hostname or ""
    region = _REGION.search(host)
    return f"https://{region[1]}.sentry.io" if region else _DEFAULT


def _claims(token: str) -> dict[str, Any]:
    found = _ORG_TOKEN.match(token)
    if found is None:
        return {}
    try:
        claims = json.loads(base64.urlsafe_b64decode(found[1] + "=" * (-len(found[1]) % 4)))
    except (ValueError, binascii.Error):
        return {}
    return claims if isinstance(claims, dict) else {}
