"""Every table of the store, in one place."""

from __future__ import annotations

from typing import Final

from mita_otel.store import alert_tables, telemetry_tables  # noqa: F401 - their tables join by being imported
from mita_otel.store.tables import Base

METADATA: Final = Base.metadata
"""The models' tables: those of the audit trail, of `telemetry_tables` and of `alert_tables`."""
VERSION_TABLE: Final = "mita_schema_version"
"""Alembic's table, under a name of our own: a service's migrations may live in the same database."""

REVISIONS: Final = ("0001_audit", "0002_telemetry", "0003_alerts")
"""Every revision of the tables, oldest first, as `migrations/versions` has them."""
