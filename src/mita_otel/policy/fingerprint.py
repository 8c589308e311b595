"""The digest of a policy: two processes with the same one act alike."""

from __future__ import annotations

import hashlib
import json

from mita_otel.policy.model import Policy


def policy_digest(policy: Policy) -> str:
    """Return the SHA-256 of the effective policy, hexadecimal. It does not depend on how it was written down."""
    tree = policy.to_dict()
    return hashlib.sha256(json.dumps(tree, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
