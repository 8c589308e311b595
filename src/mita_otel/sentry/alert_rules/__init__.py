"""The policy's rules as alerts in Sentry: what is wanted, what is there, and what to do about the difference."""
