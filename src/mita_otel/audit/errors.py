"""Errors of the audit trail."""

from __future__ import annotations

from mita_otel.errors import ConfigurationError


class AuditError(Exception):
    """The audit trail cannot do what was asked. The message says why, and how to fix it."""


class AuditWriteError(AuditError):
    """An audit entry could not be written to the disk: it is **not** in the trail.

    Raised if `audit.on_failure` is `raise` (the default), so that the caller can refuse the business operation: an
    operation that must be audited must not happen without its entry.
    """


class AuditUnavailableError(AuditError, ConfigurationError):
    """There is no audit trail: it is switched off, or `configure()` was not called."""


class EntriesDiscardedError(AuditError):
    """The database confirmed the insert of entries, but does not have them. They stay in the spool."""


class ChainConflictError(AuditError):
    """The database has a different entry at the same position of the chain, which points to tampering."""
