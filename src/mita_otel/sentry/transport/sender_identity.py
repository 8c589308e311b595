"""The sender of events: environment, release, host and SDK."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sentry_sdk.client import BaseClient

from mita_otel._versions import version_of
from mita_otel.instrumentation.patches import Patches

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
        """Return the known values by the field names of an event."""
        known = {
            "environment": self.environment,
            "release": self.release,
            "dist": self.dist,
            "server_name": self.server_name,
            "sdk": self.sdk,
        }
        return {name: value for name, value in known.items() if value}


def agree(ours: dict[str, Any], theirs: dict[str, Any], patches: Patches) -> None:
    """Set the same environment, release, dist and server name in the options of both clients.

    Our values take precedence, with one exception: their environment applies if it is not `production`, which is the
    default of sentry-sdk.

    Args:
        ours: The options of our client; they keep the values.
        theirs: The options of the service's client.
        patches: Restores the service's values.
    """
    agreed: dict[str, Any] = {}
    for name in ("environment", "release", "dist", "server_name"):
        their_value = theirs.get(name)
        if name == "environment" and their_value not in {None, _DEFAULT_ENVIRONMENT}:
            agreed[name] = their_value
        else:
            agreed[name] = ours.get(name) or their_value
    patches.set_members(theirs, agreed)
    ours.update(agreed)


def identity_of(client: BaseClient) -> Identity:
    """Return the identity that the client's options contain."""
    options = client.options
    own = version_of("mita-otel")
    packages = [
        {"name": f"pypi:{name}", "version": version_of(name)}
        for name in ("mita-otel", "sentry-sdk", "opentelemetry-sdk")
    ]
    return Identity(
        environment=options.get("environment"),
        release=options.get("release"),
        dist=options.get("dist"),
        server_name=options.get("server_name"),
        # Sentry recognises its Python SDKs by the prefix of the name.
        sdk={"name": "sentry.python.mita_otel", "version": own, "packages": packages},
    )
