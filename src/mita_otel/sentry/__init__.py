"""The Sentry bridge: the only room that knows sentry_sdk.

`describe` is the pure function that decides how Sentry shows a span; everything else is put together by
`configure()`.
"""

from __future__ import annotations

from mita_otel.sentry.mapping.description import SpanDescription, describe

__all__ = ["SpanDescription", "describe"]
