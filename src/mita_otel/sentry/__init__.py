"""The Sentry bridge: the only package that imports sentry_sdk.

`describe` is a pure function that decides how Sentry shows a span. `configure()` creates everything else.
"""

from __future__ import annotations

import sentry_sdk  # noqa: F401 - first: the hook on its import uses this package, whose modules must not be half imported

from mita_otel.sentry.mapping.description import SpanDescription, describe

__all__ = ["SpanDescription", "describe"]
