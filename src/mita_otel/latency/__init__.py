"""Latency limits: facts of a span in, breaches out; and the recorded durations of operations."""
