"""Releases in Sentry: their commits and deploys."""
