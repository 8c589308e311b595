"""Removes the secrets of the environment and of the policy from messages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Final
from urllib.parse import unquote, urlsplit

from mita_otel.policy import Policy
from mita_otel.sdk.health.check import Check

_REPLACEMENT: Final = "[redacted]"
_NAMES: Final = frozenset({"KEY", "KEYS", "TOKEN", "SECRET", "PASSWORD", "WEBHOOK", "HEADERS", "CREDENTIALS"})
"""A variable is secret if its name contains one of these words."""
_SHORTEST: Final = 6
"""Minimum length of a secret, in characters. Shorter ones are ordinary words."""


class SecretFilter:
    """Removes secrets from messages. Our own messages contain none, but those of libraries may.

    Args:
        policy: Names secret variables, and contains DSNs.
        env: The environment variables.
    """

    def __init__(self, policy: Policy, env: Mapping[str, str]) -> None:
        found = {one.strip() for one in _secrets(policy, env)}
        self._secrets = sorted((one for one in found if len(one) >= _SHORTEST), key=len, reverse=True)

    def check(self, check: Check) -> Check:
        """Return the check without secrets."""
        return replace(check, name=self.text(check.name), said=self.text(check.said))

    def text(self, text: str) -> str:
        """Return the text without secrets."""
        for secret in self._secrets:
            text = text.replace(secret, _REPLACEMENT)
        return text


def _secrets(policy: Policy, env: Mapping[str, str]) -> Iterator[str]:
    channels = policy.alerts.channels.values()
    named = {name for one in channels for name in (one.variable, one.signing_variable) if name}
    for name, value in env.items():
        if name in named or _NAMES & set(name.upper().split("_")):
            yield from (value, *value.split(","), *_after(value, "="), *_path(value))
        yield from _of_url(value)
    yield from _of_urls(project.upstream for project in policy.mobile.projects.values())
    yield from _of_urls([policy.store.url, policy.audit.anchors.url])


def _of_urls(urls: Iterable[str]) -> Iterator[str]:
    for url in urls:
        yield from _of_url(url)


def _of_url(url: str) -> Iterator[str]:
    """Yield the password of a URL, or the user if there is no password, as in a DSN."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return
    secret = parts.password or parts.username
    if secret and parts.netloc:
        yield from (secret, unquote(secret))


def _path(url: str) -> Iterator[str]:
    """Yield the path of a secret URL. A library may name it without the host."""
    try:
        path = urlsplit(url).path
    except ValueError:
        return
    if "://" in url:
        yield from (path, path.rpartition("/")[2])


def _after(value: str, sign: str) -> Iterator[str]:
    """Yield each value, as in `authorization=Bearer …,x-tenant=…`."""
    yield from (one.partition(sign)[2] for one in value.split(","))
