"""`opentelemetry-instrument` selects one of several installed distributions."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2e.conftest import StartService
from e2e.distribution import install_distribution
from e2e.receiver import Receiver
from e2e.transactions import database_spans, requests

pytestmark = pytest.mark.e2e

_OTHER = """
import sys
from opentelemetry.instrumentation.distro import BaseDistro
class Distro(BaseDistro):
    def _configure(self, **kwargs):
        print("the other distro", file=sys.stderr)
class Configurator:
    def configure(self, **kwargs):
        print("the other configurator", file=sys.stderr)
"""
_POINTS = (
    "[opentelemetry_distro]\ndistro = aaa_other:Distro\n"
    "[opentelemetry_configurator]\nconfigurator = aaa_other:Configurator\n"
)


@pytest.fixture
def other_distro(tmp_path: Path) -> dict[str, str]:
    """An environment in which another distribution is found first."""
    return install_distribution(tmp_path / "site", "aaa_other", _OTHER, _POINTS)


def test_the_other_distribution_is_found_first(
    receiver: Receiver, start_service: StartService, other_distro: dict[str, str]
) -> None:
    service = start_service({**other_distro, "SENTRY_DSN": receiver.dsn})
    service.client.get("/api/items/1").raise_for_status()
    service.stop()
    assert "the other configurator" in service.stderr.text


def test_two_variables_select_mita_otel_beside_another_distribution(
    receiver: Receiver, start_service: StartService, other_distro: dict[str, str]
) -> None:
    service = start_service(
        {
            **other_distro,
            "SENTRY_DSN": receiver.dsn,
            "OTEL_PYTHON_DISTRO": "mita_otel",
            "OTEL_PYTHON_CONFIGURATOR": "mita_otel",
        }
    )
    service.client.get("/api/items/1").raise_for_status()
    service.stop()
    receiver.wait_for(requests)
    [transaction] = requests(receiver)
    assert len(database_spans(transaction)) == 2
    assert "the other" not in service.stderr.text
    assert "DependencyConflict" not in service.stderr.text


def test_a_single_distribution_needs_no_variable(receiver: Receiver, start_service: StartService) -> None:
    service = start_service({"SENTRY_DSN": receiver.dsn})
    service.client.get("/api/items/1").raise_for_status()
    service.stop()
    receiver.wait_for(requests)
    assert "rror" not in service.stderr.text, service.said


def test_standard_variables_keep_their_meaning(receiver: Receiver, start_service: StartService) -> None:
    service = start_service(
        {
            "SENTRY_DSN": receiver.dsn,
            "OTEL_SERVICE_NAME": "ledger",
            "OTEL_RESOURCE_ATTRIBUTES": "service.version=4.5.6,team=payments",
            "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "sqlalchemy",
            "OTEL_TRACES_SAMPLER": "always_on",
        }
    )
    service.client.get("/api/items/1").raise_for_status()
    service.stop()
    receiver.wait_for(requests)
    [transaction] = requests(receiver)
    resource = transaction["contexts"]["otel"]["resource"]
    assert (resource["service.name"], resource["service.version"]) == ("ledger", "4.5.6")
    assert resource["team"] == "payments"
    assert transaction["release"] == "ledger@4.5.6"
    assert database_spans(transaction) == []


@pytest.mark.parametrize(
    "off",
    [{"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "fastapi"}, {"MITA_OTEL_INSTRUMENTATION__FASTAPI": "off"}],
)
def test_a_disabled_fastapi_instrumentation_measures_nothing(
    receiver: Receiver, start_service: StartService, off: dict[str, str]
) -> None:
    service = start_service({"SENTRY_DSN": receiver.dsn, "MITA_OTEL_SAMPLING__MODE": "always", **off})
    service.client.get("/api/items/1").raise_for_status()
    service.stop()
    receiver.wait_for(lambda backend: backend.transactions)
    names = {one["transaction"] for one in receiver.transactions}
    assert names and not {name for name in names if "/api/items" in name or name.startswith("fastapi.")}


def test_the_standard_sampler_variable_applies(receiver: Receiver, start_service: StartService) -> None:
    service = start_service({"SENTRY_DSN": receiver.dsn, "OTEL_TRACES_SAMPLER": "always_off"})
    service.client.get("/api/items/1").raise_for_status()
    service.stop()
    assert receiver.transactions == []
