"""What `configure()` changes in sentry-sdk and in the service's client is restored by `shutdown()`."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import sentry_sdk
from sentry_sdk import Scope

import mita_otel
from mita_otel import _sentry_compat

pytestmark = pytest.mark.usefixtures("isolated_telemetry")

DSN = "http://key@127.0.0.1:1/1"


def own_hook(event: Any, hint: Any) -> Any:
    return event


@pytest.fixture
def service_client() -> Iterator[Any]:
    """A client that the service has started, without threads."""
    options = {
        "dsn": DSN,
        "environment": "blue",
        "traces_sample_rate": 0.5,
        "enable_logs": True,
        "before_send": own_hook,
        "before_breadcrumb": own_hook,
        "default_integrations": False,
        "enable_backpressure_handling": False,
    }
    sentry_sdk.init(**_sentry_compat.known_options(options))
    client = sentry_sdk.get_client()
    yield client
    client.close(timeout=0)


def ignored_loggers() -> list[list[str]]:
    module = vars(sys.modules["sentry_sdk.integrations.logging"])
    return [sorted(value) for name, value in sorted(module.items()) if name.startswith("_IGNORED_LOGGERS")]


def process_state(client: Any) -> dict[str, Any]:
    return {
        "options": dict(client.options),
        "integrations": dict(client.integrations),
        "transport": type(client.transport),
        "own attributes": sorted(vars(client)),
        "set_client": Scope.set_client,
        "ignored loggers": ignored_loggers(),
        "client": sentry_sdk.get_client(),
        "handlers": list(logging.getLogger().handlers),
        "threads": sorted(one.name for one in threading.enumerate() if one.name.startswith("mita-otel")),
    }


def test_the_services_client_is_as_before_after_each_shutdown(
    service_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTRY_DSN", DSN)
    before = process_state(service_client)
    for _ in range(3):
        telemetry = mita_otel.configure(exporters=["sentry"], service_name="bank")
        changed = process_state(service_client)
        assert {name for name in before if changed[name] != before[name]} >= {
            "options",
            "integrations",
            "transport",
            "set_client",
            "ignored loggers",
        }
        telemetry.shutdown(5)
        assert process_state(service_client) == before
    assert service_client.transport is not None


def test_without_an_exporter_for_sentry_the_services_hooks_are_restored(service_client: Any) -> None:
    before = process_state(service_client)
    for _ in range(2):
        telemetry = mita_otel.configure(exporters=["none"], service_name="bank")
        assert service_client.options["before_send"] is not own_hook
        telemetry.shutdown(5)
        assert process_state(service_client) == before


def test_a_logger_that_the_service_ignores_stays_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    undo = _sentry_compat.ignore_loggers("opentelemetry.*")
    try:
        monkeypatch.setenv("SENTRY_DSN", DSN)
        before = ignored_loggers()
        mita_otel.configure(exporters=["sentry"], service_name="bank").shutdown(5)
        assert ignored_loggers() == before
    finally:
        undo()


def test_the_client_of_telemetry_is_gone_after_each_shutdown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENTRY_DSN", DSN)
    before = sentry_sdk.get_client()
    for _ in range(2):
        telemetry = mita_otel.configure(exporters=["sentry"], service_name="bank")
        assert sentry_sdk.get_client().dsn == DSN
        telemetry.shutdown(5)
        assert type(sentry_sdk.get_client()) is type(before)
        assert not sentry_sdk.get_client().is_active()
