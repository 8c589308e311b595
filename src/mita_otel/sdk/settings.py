"""The settings of one configuration: arguments win over variables, variables over the policy file."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields

from opentelemetry.sdk.trace.export import SpanExporter

from mita_otel import environment_variables as variables
from mita_otel.policy import Policy, PolicyError, environment_name, salvage_policy


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

    def resolve(self, env: Mapping[str, str], on_problem: Callable[[Exception], object]) -> Settings:
        """Return the settings: what is not an argument comes from the variables and the policy file.

        Args:
            env: The environment variables.
            on_problem: Called with a policy error. If it returns, the rest of the policy applies.
        """
        name = environment_name(self.environment, env)
        policy = self.policy if isinstance(self.policy, Policy) else _load(self.policy, name, env, on_problem)
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
) -> Policy:
    loaded = salvage_policy(path, environment=environment, env=env)
    if loaded.problems:
        on_problem(PolicyError(loaded.problems))
    return loaded.policy
