"""Alembic's environment. It uses the connection that `mita_otel.store.migrate` passes."""

from __future__ import annotations

from alembic import context

from mita_otel.store.migrate import METADATA, VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    version_table=VERSION_TABLE,
    transactional_ddl=True,
)
context.run_migrations()
