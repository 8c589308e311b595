"""What the service is: its resource, from the variables and from what the release's name says."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version

from opentelemetry.sdk.resources import Resource

from mita_otel import environment_variables as variables
from mita_otel import semconv


def describe_service(environment: str, service_name: str | None, env: Mapping[str, str]) -> Resource:
    """Return the resource: `OTEL_*` variables win over what is guessed from the release's name.

    Args:
        environment: The environment's name.
        service_name: As `configure()` was told. None: as the variables say.
        env: The environment variables.
    """
    release_name, _, release_version = env.get(variables.SENTRY_RELEASE, "").partition("@")
    attributes: dict[str, str] = {
        "telemetry.distro.name": "mita-otel",
        "telemetry.distro.version": version("mita-otel"),
        semconv.DEPLOYMENT_ENVIRONMENT[0]: environment,
    }
    named = Resource.create().attributes
    if service_name:
        attributes[semconv.SERVICE_NAME] = service_name
    elif release_version and str(named.get(semconv.SERVICE_NAME, "")).startswith("unknown_service"):
        attributes[semconv.SERVICE_NAME] = release_name
    if release_version and semconv.SERVICE_VERSION not in named:
        attributes[semconv.SERVICE_VERSION] = release_version
    return Resource.create().merge(Resource(attributes))
