"""Fixtures: the Sentry server of the client's tests."""

from __future__ import annotations

from sentry.api.conftest import _no_pauses, api_of, sentry  # noqa: F401 - fixtures
