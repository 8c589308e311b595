"""Channels: one notifier per file, each usable alone."""
