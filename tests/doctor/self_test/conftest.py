"""A receiver for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from alerts.receivers import HttpReceiver


@pytest.fixture
def http() -> Iterator[HttpReceiver]:
    receiver = HttpReceiver()
    yield receiver
    receiver.close()
