"""The store and the audit trail, opened for a command; what the command does is recorded like anything else."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from mita_otel import environment_variables as variables
from mita_otel.audit.errors import AuditError
from mita_otel.audit.keys import AuditKeys
from mita_otel.audit.starting import AuditRoom
from mita_otel.errors import ConfigurationError
from mita_otel.policy import Policy, environment_name, load_policy
from mita_otel.redaction import Redactor

if TYPE_CHECKING:
    from mita_otel.store.database import Database

SERVICE = "mita-otel command"
"""What entries of the command line say they come from."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What a command works with."""

    policy: Policy
    room: AuditRoom
    user: str
    """Who runs the command."""

    def database(self) -> Database:
        """Return the store, with its tables up to date.

        Raises:
            StoreError: It cannot be used.
            ConfigurationError: The trail is signed, and there is no key here: what the command does would be
                recorded in a chain without one, and every verification would name it for ever.
        """
        database = self.room.database()
        from mita_otel.store.migrate import require

        require(database, migrate=self.policy.store.migrate)
        if not self.room.keys.expects_keys:
            from mita_otel.audit.heads import key_in_use

            key = key_in_use(database)
            if key is not None:
                raise ConfigurationError(
                    f"the audit trail is signed with the key {key}, and {variables.AUDIT_KEY} is not set: what this "
                    "command does could only be recorded without a key. Set the key that the service has"
                )
        return database


@contextmanager
def opened(environment: str | None = None) -> Iterator[Opened]:
    """Open the store and the trail; end the command's chain afterwards.

    Raises:
        ConfigurationError: A setting cannot be used, or what was done cannot be recorded: then it is not done.
    """
    policy = load_policy(environment=environment)
    AuditKeys.from_environment(
        os.environ
    )  # a service goes on without one that is too short; a command has time
    if policy.audit.start == "off":
        raise ConfigurationError("audit.start is 'off' in the policy: there is no audit trail to work with")
    room = AuditRoom(
        policy,
        Redactor(policy),
        environment=environment_name(environment),
        service=SERVICE,
        env=os.environ,
    )
    try:
        yield Opened(policy, room, who())
    except AuditError as error:
        raise ConfigurationError(str(error)) from error
    finally:
        if room.trail.started and not room.trail.close(policy.audit.mover.read_wait_s):
            typer.echo(
                f"what this command did is recorded in {room.folder.path}, and not yet in the database; "
                "run: mita-otel audit flush",
                err=True,
            )


def who() -> str:
    """Return the name of who runs the command."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container without users
        return f"uid {os.getuid()}" if hasattr(os, "getuid") else "unknown"


@contextmanager
def progress(what: str) -> Iterator[Progress]:
    """Show a progress bar on stderr while something long goes on, if that is a terminal."""
    if not sys.stderr.isatty():
        yield Progress()
        return
    from rich.console import Console
    from rich.progress import Progress as Bars

    with Bars(console=Console(stderr=True), transient=True) as bars:
        yield Progress(bars, bars.add_task(what, total=None))


class Progress:
    """A bar, or nothing."""

    def __init__(self, bars: RichProgress | None = None, task: TaskID | None = None) -> None:
        self._bars = bars
        self._task = task

    def of(self, done: int, total: int) -> None:
        """Show how much of how much is done."""
        if self._bars is not None and self._task is not None:
            self._bars.update(self._task, completed=done, total=total)

    def say(self, what: str) -> None:
        """Show what is being done."""
        if self._bars is not None and self._task is not None:
            self._bars.update(self._task, description=what)


if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID
