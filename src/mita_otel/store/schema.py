"""Every table of the store, in one place."""

from __future__ import annotations

from typing import Final

from mita_otel.store.tables import Base

METADATA: Final = Base.metadata
VERSION_TABLE: Final = "mita_schema_version"
"""Alembic's table, under a name of our own: a service's migrations may live in the same database."""

REVISIONS: Final = ("0001_audit",)
"""Every revision of the tables, oldest first, as `migrations/versions` has them."""
