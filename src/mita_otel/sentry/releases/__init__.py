"""Releases in Sentry: what is in them, and where they run."""
