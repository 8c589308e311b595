"""Alembic's environment: runs on the connection that `mita_otel.store.migrate` hands it."""

from __future__ import annotations

from alembic import context

from mita_otel.store.schema import METADATA, VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    version_table=VERSION_TABLE,
    transactional_ddl=True,
)
context.run_migrations()
