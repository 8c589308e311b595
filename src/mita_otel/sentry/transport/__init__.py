"""Sending of envelopes to Sentry."""
