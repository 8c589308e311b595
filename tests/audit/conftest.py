"""Fixtures of the audit tests."""

from audit.ledger_to_tamper import ledger, original

__all__ = ["ledger", "original"]
