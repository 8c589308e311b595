"""The pytest plugin: the fixture `mita` and the marker of the same name. pytest loads it by its entry point."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from mita_otel.testing.captured import CapturedTelemetry


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker."""
    config.addinivalue_line(
        "markers",
        "mita(policy=None, environment=None, service_name='test', deterministic=False): "
        "the arguments of mita_otel.testing.capture() for the fixture `mita`",
    )


@pytest.fixture
def mita(request: pytest.FixtureRequest) -> Iterator[CapturedTelemetry]:
    """Telemetry for one test: real limits, redaction and alert rules, and no network.

    Arguments come from the marker: `@pytest.mark.mita(environment="staging", deterministic=True)`.
    """
    from mita_otel.testing.capturing import capture

    marker = request.node.get_closest_marker("mita")
    arguments = () if marker is None else marker.args
    with capture(*arguments, **({} if marker is None else marker.kwargs)) as captured:
        yield captured
