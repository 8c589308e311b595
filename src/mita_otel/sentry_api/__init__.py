"""Sentry's web API: a small client for what alerts and releases need. Needs the extra `alerts` (httpx, stamina)."""
