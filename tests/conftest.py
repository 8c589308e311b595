"""Guarantees for every test: no settings of the developer's shell, and a way to configure in this process.

OpenTelemetry's providers, `configure()` and the Sentry client are set once per process. A test that needs them
uses `run_script` of the end-to-end kit (a new interpreter, half a second), or the fixture `isolated_telemetry`,
which restores the globals. Tests of single packages need neither: they create a provider and pass it.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import pytest
import sentry_sdk

from closing import Closing, closing_all
from databases import (  # noqa: F401 - fixtures of every test
    database_url,
    has_tables,
    postgresql_server,
    postgresql_url,
    postgresql_with_tables,
)
from exploring import load_profile

if TYPE_CHECKING:
    from mita_otel.instrumentation.patches import Patches

_MEMORY_DISK = Path("/dev/shm")  # noqa: S108 - every file in it is below a folder of pytest
_LONG_MODULES = ("tests/e2e/", "tests/examples/", "tests/type_checking/", "tests/test_packaging.py")
_SETTINGS = ("OTEL_", "MITA_OTEL_", "SENTRY_", "SLACK_", "PAGERDUTY_", "ENVIRONMENT")


# The tests start hundreds of interpreters. Without its bytecode cache, each compiles everything again.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_configure() -> None:
    load_profile()
    if _is_fit_for_tests(_MEMORY_DISK):
        # pytest's variable for the parent of every `tmp_path`. SQLite and the spools wait for the disk otherwise.
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY_DISK))


def _is_fit_for_tests(folder: Path) -> bool:
    """Return whether there is a gigabyte for each worker, and programs can be started."""
    if not os.access(folder, os.W_OK):
        return False
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize > 4e9 and not disk.f_flag & os.ST_NOEXEC


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Start one worker more than the machine has cores: tests of services wait for other processes."""
    return (os.cpu_count() or 1) + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the modules that start processes first: short modules then fill the end of a parallel run."""
    items.sort(key=lambda item: not item.nodeid.startswith(_LONG_MODULES))


@pytest.fixture(autouse=True, scope="session")
def _no_settings_of_the_shell() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(_SETTINGS):
                patch.delenv(name)
        yield


@pytest.fixture(autouse=True, scope="module")
def _threads_end_with_their_module() -> Iterator[None]:
    """Check that every module ends its threads: a remaining one would affect tests of other modules.

    Pools that a library keeps for the process are idle, and stay.
    """
    before = set(threading.enumerate())
    yield
    left = [
        thread
        for thread in threading.enumerate()
        if thread not in before and not thread.name.startswith("ThreadPoolExecutor-")
    ]
    deadline = monotonic() + 60
    for thread in left:
        thread.join(max(0.0, deadline - monotonic()))
    assert not (named := [thread.name for thread in left if thread.is_alive()]), (
        f"threads left running: {named}"
    )


@pytest.fixture(autouse=True, scope="module")
def _propagator_is_as_before_after_each_module() -> Iterator[None]:
    """Check that every module restores the propagator: tests of other modules would use it."""
    from opentelemetry import propagate

    before = propagate.get_global_textmap()
    yield
    assert propagate.get_global_textmap() is before, "the module left its propagator in the process"


@pytest.fixture(autouse=True, scope="module")
def _scopes_of_sentry_are_as_before_after_each_module() -> Iterator[None]:
    """Check that every module leaves the process's scopes empty: issues of other modules would contain it."""
    from mita_otel._sentry_compat import applied

    def content() -> dict[str, object]:
        found = applied([sentry_sdk.get_isolation_scope(), sentry_sdk.get_current_scope()])
        found.get("contexts", {}).pop("trace", None)  # derived from the client
        return found

    before = content()
    yield
    assert content() == before, "the module left content in Sentry's scopes"


@pytest.fixture(autouse=True, scope="module")
def _log_level_is_as_before_after_each_module() -> Iterator[None]:
    """Hold every module to restoring the root logger's level: tests of other modules read its records."""
    before = logging.root.level
    yield
    after = logging.root.level
    logging.root.setLevel(before)
    assert after == before, f"the module left the root logger at {logging.getLevelName(after)}"


@pytest.fixture
def closing() -> Iterator[Closing]:
    """Close resources at the end of the test: `queue = closing(ExportQueue(…))`."""
    with closing_all() as close_later:
        yield close_later


@pytest.fixture
def patches() -> Iterator[Patches]:
    """Changes to the process that are reverted after the test."""
    from mita_otel.instrumentation.patches import Patches

    made = Patches()
    yield made
    made.revert()


@pytest.fixture
def isolated_telemetry() -> Iterator[None]:
    """Let the test call `configure()` in this process; shut telemetry down afterwards.

    The global providers that the test itself sets are taken back as well, and so is the Sentry client.
    """
    from mita_otel.testing.capturing import isolated

    with isolated(1.0):
        yield
