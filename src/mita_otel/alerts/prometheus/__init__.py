"""The policy's limits and rules for Prometheus, and its channels and escalations for Alertmanager."""
