"""Sends envelopes to Sentry."""
