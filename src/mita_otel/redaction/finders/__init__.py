"""Detectors of secrets, one per file."""
