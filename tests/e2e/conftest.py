"""Fixtures of the end-to-end tests: a back end, and services that end with the test."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.receiver import Receiver
from e2e.service import Service

StartService = Callable[..., Service]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    backend = Receiver()
    yield backend
    backend.close()
    assert not backend.bad, backend.bad


@pytest.fixture
def app_folder(tmp_path: Path) -> Path:
    """A folder with the plain service in it as `app.py`."""
    folder = tmp_path / "service"
    folder.mkdir()
    shutil.copy(Path(__file__).with_name("plain_app.py"), folder / "app.py")
    return folder


@pytest.fixture
def start_service(app_folder: Path) -> Iterator[StartService]:
    """Start the plain service (or the one in `folder`); what still runs at the end is killed."""
    started: list[Service] = []

    def start(env: dict[str, Any] | None = None, folder: Path | None = None, **options: Any) -> Service:
        service = Service(folder or app_folder, env, **options)
        started.append(service)
        return service

    yield start
    for service in started:
        service.kill()
