"""A session of a command with the store and the audit trail. The actions of commands are audited as well."""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mita_otel import environment_variables as variables
from mita_otel.audit.canonical import AuditKeys
from mita_otel.audit.errors import AuditError
from mita_otel.audit.event import COMMAND_SERVICE
from mita_otel.audit.runtime import AuditRuntime
from mita_otel.cli.output import echo
from mita_otel.errors import ConfigurationError
from mita_otel.policy import Policy, environment_name, load_policy
from mita_otel.redaction import Redactor

if TYPE_CHECKING:
    from mita_otel.store.database import Database


@dataclass(frozen=True, slots=True)
class TrailSession:
    """The policy, the audit trail and the store for one command."""

    policy: Policy
    audit: AuditRuntime
    user: str
    """The user that runs the command."""

    def database(self) -> Database:
        """Return the store with up-to-date tables.

        Raises:
            StoreError: It cannot be used.
            ConfigurationError: The trail is signed, and no key is set here. The command's entries would form an
                unsigned chain, which each later verification would report.
        """
        database = self.audit.database()
        from mita_otel.store.migrate import require

        require(database, migrate=self.policy.store.migrate)
        if not self.audit.keys.expects_keys:
            from mita_otel.audit.ledger import key_in_use

            key = key_in_use(database)
            if key is not None:
                raise ConfigurationError(
                    f"the audit trail is signed with key {key}, but {variables.AUDIT_KEY} is not set: this command "
                    "could only write unsigned entries. Set the key of the service"
                )
        return database


@contextmanager
def open_trail(environment: str | None = None) -> Iterator[TrailSession]:
    """Open the audit trail and the store. Close the command's chain afterwards.

    Raises:
        ConfigurationError: A setting cannot be used, or the action cannot be audited and is therefore not done.
    """
    policy = load_policy(environment=environment)
    AuditKeys.from_environment(os.environ)  # unlike a service, a command fails if the key is too short
    if policy.audit.start == "off":
        raise ConfigurationError(
            'the policy sets audit.start to "off": there is no audit trail. Set it to "auto" to use this command'
        )
    audit = AuditRuntime(
        policy,
        Redactor(policy),
        environment=environment_name(environment),
        service=COMMAND_SERVICE,
        env=os.environ,
    )
    try:
        yield TrailSession(policy, audit, current_user())
    except AuditError as error:
        raise ConfigurationError(str(error)) from error
    finally:
        if audit.trail.started and not audit.trail.close(policy.audit.mover.read_wait_s):
            echo(
                f"the audit entries of this command are in {audit.folder.path}, not yet in the database; "
                "run: mita-otel audit flush",
                err=True,
            )


def current_user() -> str:
    """Return the name of the user that runs the command."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container without users
        return f"uid {os.getuid()}" if hasattr(os, "getuid") else "unknown"
