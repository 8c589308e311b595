"""Maps spans and log records to Sentry's events and transactions, with pure functions."""
