"""Pure functions from spans to Sentry's events and transactions."""
