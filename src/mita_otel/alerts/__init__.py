"""Alerts: rules count events and spans, alerts open and close, channels notify people. Nothing runs on a request's thread."""
