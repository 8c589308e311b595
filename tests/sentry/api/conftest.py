"""Fixtures: a Sentry of the test's own, today's and an older one."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import stamina

from mita_otel.sentry.api.address import SentryAddress
from mita_otel.sentry.api.client import SentryApi
from sentry.api.fake import TOKEN, FakeSentry


@pytest.fixture(params=["today", "before"])
def sentry(request: pytest.FixtureRequest) -> Iterator[FakeSentry]:
    """A server of either kind; at its end, everything that it was asked was right."""
    fake = FakeSentry(old=request.param == "before")
    yield fake
    fake.close()
    assert fake.wrong == []


@pytest.fixture
def today() -> Iterator[FakeSentry]:
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
    """Tries follow each other at once; what a server asks for is waited all the same."""
    stamina.set_testing(True, attempts=3, cap=True)
    yield
    stamina.set_testing(False)
