"""The store: SQLite or PostgreSQL, through SQLAlchemy. Needs the extra `store`; see `open_database`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from mita_otel import environment_variables as variables
from mita_otel.policy.storage import StorePolicy
from mita_otel.store.errors import INSTALL, StoreError, StoreUnavailableError

if TYPE_CHECKING:
    from mita_otel.store.database import Database

__all__ = ["StoreError", "StoreUnavailableError", "database_url", "open_database"]


def database_url(policy: StorePolicy, env: Mapping[str, str] | None = None) -> str:
    """Return the URL of the database: `MITA_OTEL_DATABASE_URL`, else `store.url` of the policy."""
    env = os.environ if env is None else env
    return env.get(variables.DATABASE_URL, "").strip() or policy.url


def open_database(policy: StorePolicy, env: Mapping[str, str] | None = None) -> Database:
    """Return the database that the environment or the policy names. It connects when it is first used.

    Raises:
        StoreError: SQLAlchemy or the database's driver is not installed, or the URL is invalid.
    """
    try:
        from mita_otel.store.database import Database
    except ImportError as error:
        raise StoreError(
            f"the store needs {error.name or 'SQLAlchemy'}; install it with: {INSTALL}"
        ) from error
    return Database(database_url(policy, env), policy)
