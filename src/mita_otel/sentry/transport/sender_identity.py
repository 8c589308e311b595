"""The sender that events name: environment, release, host and SDK."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Final

from sentry_sdk.client import BaseClient

_DEFAULT_ENVIRONMENT: Final = "production"


@dataclass(frozen=True, slots=True)
class Identity:
    """Environment, release, host and SDK of the sender."""

    environment: str | None = None
    release: str | None = None
    dist: str | None = None
    server_name: str | None = None
    sdk: Mapping[str, Any] | None = None

    def fields(self) -> dict[str, Any]:
        """Return what is known, by the names of an event's fields."""
        known = {
            "environment": self.environment,
            "release": self.release,
            "dist": self.dist,
            "server_name": self.server_name,
            "sdk": self.sdk,
        }
        return {name: value for name, value in known.items() if value}


def agree(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """Let two clients' options name the same environment, release and so on: what ours know, else what theirs know.

    sentry-sdk calls an environment that nobody names `production`: theirs counts if it says anything else.
    """
    for name in ("environment", "release", "dist", "server_name"):
        said = theirs.get(name)
        if name == "environment" and said not in {None, _DEFAULT_ENVIRONMENT}:
            value = said
        else:
            value = ours.get(name) or said
        ours[name] = theirs[name] = value


def identity_of(client: BaseClient) -> Identity:
    """Return who the client says it is."""
    options = client.options
    own = version("mita-otel")
    packages = [
        {"name": f"pypi:{name}", "version": version(name)}
        for name in ("mita-otel", "sentry-sdk", "opentelemetry-sdk")
    ]
    return Identity(
        environment=options.get("environment"),
        release=options.get("release"),
        dist=options.get("dist"),
        server_name=options.get("server_name"),
        # Sentry recognises its Python SDKs by the name's beginning.
        sdk={"name": "sentry.python.mita_otel", "version": own, "packages": packages},
    )
