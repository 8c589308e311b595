"""Fixtures of `doctor`'s tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from alerts.receivers import HttpReceiver
from doctor.kit import Authority, Examined, Wire, by_name
from mita_otel.doctor.diagnosis import diagnose
from mita_otel.sdk.health.check import Check

_TRUST = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "CLIENT_CERT_FILE")
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")


@pytest.fixture(autouse=True)
def _no_trust_or_proxy_of_the_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*_TRUST, *_PROXIES):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def http() -> Iterator[HttpReceiver]:
    receiver = HttpReceiver()
    yield receiver
    receiver.close()


@pytest.fixture
def wire() -> Iterator[Callable[..., int]]:
    """Start a server, and return its port."""
    made: list[Wire] = []

    def start(*arguments: object) -> int:
        made.append(Wire(*arguments))  # type: ignore[arg-type]
        return made[-1].port

    yield start
    for one in made:
        one.close()


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def examined(isolated_telemetry: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Examined:
    """Examine an environment, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def look(**env: str) -> dict[str, Check]:
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        return by_name(diagnose())

    return look
