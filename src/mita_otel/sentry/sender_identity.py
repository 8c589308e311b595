"""Who sends: environment, release, host and SDK, as Sentry wants to hear it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from sentry_sdk.client import BaseClient


@dataclass(frozen=True, slots=True)
class Identity:
    """What Sentry calls the sender."""

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
