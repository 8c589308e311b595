"""The section of a policy that says where telemetry is kept."""

from typing import Annotated

from mita_otel.policy.fields import Bounds, PositiveInt, Seconds
from mita_otel.policy.section import Section


class StorePolicy(Section):
    """The database that audit entries, errors, breaches, latency windows and kept traces are kept in."""

    url: Annotated[str, Bounds(min_length=1)]
    """SQLAlchemy's URL of the database. `MITA_OTEL_DATABASE_URL` wins; a password belongs there, not here."""
    migrate: bool
    """Whether tables are made and brought up to date when the store is first used. Otherwise
    `mita-otel store migrate` does it, with a role that may."""
    connect_timeout_s: Seconds
    """Seconds that a connection may take."""
    statement_timeout_s: Seconds
    """Seconds that a statement of the writer may take (PostgreSQL)."""
    lock_timeout_s: Seconds
    """Seconds that the writer waits for a lock, or for SQLite's only writer."""
    pool_size: PositiveInt
    """Connections of one process."""
