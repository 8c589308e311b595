"""Diagnosis of an environment before a service runs in it: each problem is named with its fix."""
