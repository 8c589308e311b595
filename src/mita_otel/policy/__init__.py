"""The policy: the model, the defaults, loading and overlays."""

from mita_otel.policy.errors import PolicyError, Problem
from mita_otel.policy.loading import (
    LoadedPolicy,
    default_policy,
    environment_name,
    load_policy,
    load_with_origins,
    salvage_policy,
)
from mita_otel.policy.model import Policy

__all__ = [
    "LoadedPolicy",
    "Policy",
    "PolicyError",
    "Problem",
    "default_policy",
    "environment_name",
    "load_policy",
    "load_with_origins",
    "salvage_policy",
]
