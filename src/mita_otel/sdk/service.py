"""The service that telemetry is composed for, and its OpenTelemetry resource."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import SpanExporter

from mita_otel import environment_variables as variables
from mita_otel import semconv
from mita_otel._versions import version_of
from mita_otel.instrumentation.patches import Patches
from mita_otel.policy import Policy, PolicyError, environment_name, salvage_policy
from mita_otel.policy.loading import LoadedPolicy
from mita_otel.processors.queues.losses import Losses
from mita_otel.processors.queues.slices import Slices
from mita_otel.redaction import Redactor


@dataclass(frozen=True)
class Settings:
    """Everything by which two calls of `configure` are compared."""

    policy: Policy
    environment: str
    service_name: str | None = None
    exporters: tuple[str | SpanExporter, ...] = ()

    def differences(self, other: Settings) -> list[str]:
        """Return the names of the settings that differ."""
        names = [field.name for field in fields(self)]
        return [name for name in names if getattr(self, name) != getattr(other, name)]


@dataclass(frozen=True)
class Arguments:
    """The arguments of `configure` as the application passed them."""

    policy: Policy | str | os.PathLike[str] | None = None
    environment: str | None = None
    service_name: str | None = None
    exporters: Sequence[str | SpanExporter] | str | None = None

    def resolve(
        self,
        env: Mapping[str, str],
        on_problem: Callable[[Exception], object],
        on_unknown_environment: Callable[[str], object] = lambda sentence: None,
    ) -> Settings:
        """Return the settings: what is not an argument comes from the variables and the policy file.

        Args:
            env: The environment variables.
            on_problem: Called with a policy error. If it returns, the rest of the policy applies.
            on_unknown_environment: Called with a sentence if no overlay of the policy names the environment.
        """
        name = environment_name(self.environment, env)
        if isinstance(self.policy, Policy):
            policy = self.policy
        else:
            loaded = _load(self.policy, name, env, on_problem)
            policy, name = loaded.policy, loaded.environment
            if loaded.unknown_environment:
                on_unknown_environment(loaded.unknown_environment)
        exporters = self.exporters
        if exporters is None:
            exporters = env.get(variables.TRACES_EXPORTER, "").strip() or policy.export.traces
        if isinstance(exporters, str):
            exporters = exporters.split(",")
        named = tuple(one.strip() if isinstance(one, str) else one for one in exporters)
        return Settings(policy, name, self.service_name, named)


def _load(
    path: str | os.PathLike[str] | None,
    environment: str,
    env: Mapping[str, str],
    on_problem: Callable[[Exception], object],
) -> LoadedPolicy:
    loaded = salvage_policy(path, environment=environment, env=env)
    if loaded.problems:
        on_problem(PolicyError(loaded.problems))
    return loaded


@dataclass(frozen=True)
class Service:
    """What every part of one configuration is made from."""

    policy: Policy
    environment: str
    """The environment's name."""
    resource: Resource
    redactor: Redactor
    """What every signal passes."""
    losses: Losses
    """Where losses are counted."""
    patches: Patches
    """Takes back every change to the process."""
    env: Mapping[str, str]
    """The environment variables."""
    slices: Slices = field(default_factory=Slices)
    """Divides background work into slices."""

    @classmethod
    def of(
        cls, settings: Settings, patches: Patches, env: Mapping[str, str], redactor: Redactor | None = None
    ) -> Service:
        """Return the service that the settings describe. Without a redactor, make the policy's."""
        policy = settings.policy
        slices = Slices.of(policy.export.slices)
        return cls(
            policy=policy,
            environment=settings.environment,
            resource=describe_service(settings.environment, settings.service_name, env),
            redactor=Redactor(policy.redaction, step=slices.step) if redactor is None else redactor,
            losses=Losses(cool_down_s=policy.thresholds.log.cool_down_s),
            patches=patches,
            env=env,
            slices=slices,
        )

    @property
    def name(self) -> str:
        """The service's name; empty if it has none."""
        return str(self.resource.attributes.get(semconv.SERVICE_NAME, ""))


def describe_service(environment: str, service_name: str | None, env: Mapping[str, str]) -> Resource:
    """Return the resource. `OTEL_*` variables win over the name and version in `SENTRY_RELEASE`.

    Args:
        environment: The environment's name.
        service_name: The argument of `configure()`. None: the variables say.
        env: The environment variables.
    """
    release_name, _, release_version = env.get(variables.SENTRY_RELEASE, "").partition("@")
    attributes: dict[str, str] = {
        "telemetry.distro.name": "mita-otel",
        "telemetry.distro.version": version_of("mita-otel"),
        semconv.DEPLOYMENT_ENVIRONMENT[0]: environment,
    }
    created = Resource.create()
    named = created.attributes
    if service_name:
        attributes[semconv.SERVICE_NAME] = service_name
    elif release_version and str(named.get(semconv.SERVICE_NAME, "")).startswith("unknown_service"):
        attributes[semconv.SERVICE_NAME] = release_name
    if release_version and semconv.SERVICE_VERSION not in named:
        attributes[semconv.SERVICE_VERSION] = release_version
    return created.merge(Resource(attributes))
