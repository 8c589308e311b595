"""What a token needs."""

from __future__ import annotations

from typing import Final

SCOPE: Final = "alerts:write, org:read and project:read"
"""Scopes for alerts in Sentry, for messages."""
