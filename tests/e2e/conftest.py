"""Fixtures of the end-to-end tests: a backend, and services that end with the test or with the module."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from e2e.receiver import Receiver
from e2e.service import Service

StartService = Callable[..., Service]


@contextmanager
def receiving() -> Iterator[Receiver]:
    backend = Receiver()
    yield backend
    backend.close()
    assert not backend.bad, backend.bad


@contextmanager
def starting(app_folder: Path) -> Iterator[StartService]:
    started: list[Service] = []

    def start(env: dict[str, Any] | None = None, folder: Path | None = None, **options: Any) -> Service:
        service = Service(folder or app_folder, env, **options)
        started.append(service)
        return service

    yield start
    for service in started:
        service.kill()


def with_plain_app(folder: Path) -> Path:
    """Return the folder, with the plain service in it as `app.py`."""
    shutil.copy(Path(__file__).with_name("plain_app.py"), folder / "app.py")
    return folder


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as backend:
        yield backend


@pytest.fixture
def app_folder(tmp_path: Path) -> Path:
    """A folder with the plain service in it as `app.py`."""
    folder = tmp_path / "service"
    folder.mkdir()
    return with_plain_app(folder)


@pytest.fixture
def start_service(app_folder: Path) -> Iterator[StartService]:
    """Start the plain service (or the one in `folder`); running services are killed at the end."""
    with starting(app_folder) as start:
        yield start


@pytest.fixture(scope="module")
def shared_receiver() -> Iterator[Receiver]:
    """A backend for all tests of a module; they only read the received data."""
    with receiving() as backend:
        yield backend


@pytest.fixture(scope="module")
def start_shared_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartService]:
    """Start a service for all tests of a module, as `start_service` does for one."""
    with starting(with_plain_app(tmp_path_factory.mktemp("service"))) as start:
        yield start
