"""Self-tests: real, marked events to Sentry and to the channels of alerts."""
