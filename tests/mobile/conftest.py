"""Fixtures of the gateway's tests: a Sentry receiver, and applications that are shut down after each test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.receiver import Receiver
from mita_otel.mobile import MobileApp, MobileGateway
from mobile.kit import UNREACHABLE, MakeApp, policy_with


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    yield server
    server.close()


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[MakeApp]:
    """Return a factory of applications; each is shut down after the test."""
    apps: list[MobileApp] = []

    def one(upstream: str = UNREACHABLE, **sections: Any) -> MobileApp:
        policy = policy_with(tmp_path / "spool", upstream=upstream, **sections)
        apps.append(MobileApp(MobileGateway(policy, env={})))
        return apps[-1]

    yield one
    for app in apps:
        app.gateway.close(0)
