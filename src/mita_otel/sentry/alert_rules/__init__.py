"""The policy's rules as monitors and alerts in Sentry: desired state, plan, API."""
