"""Sentry's web API: a small client for what alerts, releases and reports need. Needs the extra `alerts` (httpx, stamina)."""
