"""The kinds of span that have limits, and are told apart in summaries."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, get_args

from mita_otel.policy.limits import Kind

KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
"""All of them, in the order in which tables show them."""


class PerformanceCategory(StrEnum):
    """What `get_performance_summary` can be asked for: a kind of span."""

    API = "api"
    """Requests that the service answers."""
    FINANCIAL = "financial"
    """Financial operations."""
    BACKGROUND = "background"
    """Background tasks."""
    CONSUMER = "consumer"
    """The handling of messages."""
    DATABASE = "database"
    """Statements."""
    CHECKOUT = "checkout"
    """Waiting for a connection of a pool."""
    CACHE = "cache"
    """Operations of a cache."""
    OUTGOING = "outgoing"
    """HTTP requests that the service makes."""
    MOBILE_SCREEN = "mobile_screen"
    """Screens of a mobile app."""
    MOBILE_REQUEST = "mobile_request"
    """Requests, seen from a mobile app."""
    MOBILE_OPERATION = "mobile_operation"
    """Calculations in a mobile app."""
