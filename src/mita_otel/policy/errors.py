"""What is wrong with a policy, in words that name the file, the line, the key and the mend."""

from __future__ import annotations

from mita_otel.errors import ConfigurationError


class PolicyError(ConfigurationError):
    """A policy cannot be used. The message has a line a problem."""
