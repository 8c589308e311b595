"""Verifies the audit trail: signatures, chains, erasures, legal holds, triggers and anchors."""
