"""Fixtures: a Sentry server on 127.0.0.1, and clients of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import stamina

from mita_otel.sentry.api.address import SentryAddress
from mita_otel.sentry.api.client import SentryApi
from sentry.api.fake import TOKEN, FakeSentry


@pytest.fixture
def sentry() -> Iterator[FakeSentry]:
    """A Sentry server; every request of the test must have been valid."""
    fake = FakeSentry()
    yield fake
    fake.close()
    assert fake.wrong == []


MakeApi = Callable[..., SentryApi]


@pytest.fixture
def api_of() -> Iterator[MakeApi]:
    made: list[SentryApi] = []

    def make(fake: FakeSentry, token: str = TOKEN, org: str = "acme", attempts: int = 3) -> SentryApi:
        address = SentryAddress(fake.url, org, token)
        made.append(
            SentryApi(address, timeout_s=10, attempts=attempts, scope="alerts:write", longest_wait_s=2)
        )
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(autouse=True)
def _no_pauses() -> Iterator[None]:
    """Retry without backoff; waits that a server requests still apply."""
    stamina.set_testing(True, attempts=3, cap=True)
    yield
    stamina.set_testing(False)
