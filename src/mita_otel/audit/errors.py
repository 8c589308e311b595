"""What a caller is told when the audit trail cannot do its work."""

from __future__ import annotations

from mita_otel.errors import ConfigurationError


class AuditError(Exception):
    """The audit trail cannot do what was asked; the message says why and what to do."""


class AuditWriteError(AuditError):
    """An audit entry could not be made durable: it is **not** in the trail.

    Raised where `audit.on_failure` is `raise` (the default), so that the business operation can be refused:
    an operation that must be audited and cannot be must not happen.
    """


class AuditUnavailableError(AuditError, ConfigurationError):
    """There is no audit trail: it is switched off, or `configure()` has not been called."""


class ChainConflictError(AuditError):
    """The database has another entry in this one's place: somebody was there."""
