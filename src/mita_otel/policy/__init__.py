"""The policy: the model, the defaults, loading and overlays."""

from mita_otel.policy.errors import PolicyError
from mita_otel.policy.loading import (
    LoadedPolicy,
    default_policy,
    environment_name,
    load_policy,
    load_with_origins,
)
from mita_otel.policy.model import Policy

__all__ = [
    "LoadedPolicy",
    "Policy",
    "PolicyError",
    "default_policy",
    "environment_name",
    "load_policy",
    "load_with_origins",
]
