"""The policy: the model, the defaults, loading and overlays."""

from mita_otel.policy.errors import PolicyError, Problem
from mita_otel.policy.loading import (
    CheckedPolicy,
    LoadedPolicy,
    Setting,
    check_policy,
    default_policy,
    environment_name,
    load_policy,
    load_with_origins,
    salvage_policy,
)
from mita_otel.policy.model import Policy

__all__ = [
    "CheckedPolicy",
    "LoadedPolicy",
    "Policy",
    "PolicyError",
    "Problem",
    "Setting",
    "check_policy",
    "default_policy",
    "environment_name",
    "load_policy",
    "load_with_origins",
    "salvage_policy",
]
