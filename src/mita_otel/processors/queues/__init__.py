"""Bounded queues of spans, logs and metrics, their threads, and the counts of their losses."""
