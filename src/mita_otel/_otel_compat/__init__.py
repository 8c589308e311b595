"""The only package that touches private names of OpenTelemetry, with a test for each assumption it makes.

Verified with the SDK 1.39 to 1.45 and the instrumentation package 0.60b0 to 0.66b1 (`tests/_otel_compat/`).
"""

from __future__ import annotations

from collections.abc import Callable

Patch = Callable[[object, str, object], None]
"""Sets an attribute, as `setattr` does."""
