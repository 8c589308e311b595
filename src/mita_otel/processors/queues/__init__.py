"""Bounded queues of spans and logs, their threads, and the count of what they lose."""
