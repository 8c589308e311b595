"""Addresses of Sentry: with a path, through a proxy, with a secret in the DSN, or unreachable."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.receiver import Receiver
from e2e.script import Ran, run_script
from leaks import shows

pytestmark = pytest.mark.e2e

_JOB = """
    import logging
    import mita_otel
    from opentelemetry import trace
    telemetry = mita_otel.configure()
    with trace.get_tracer("test").start_as_current_span("job"):
        logging.getLogger("shop").error("no money")
    telemetry.shutdown()
    answer(telemetry.losses())
    """


@pytest.fixture
def proxy() -> Iterator[Receiver]:
    backend = Receiver()
    yield backend
    backend.close()


def run(tmp_path: Path, **env: str) -> Ran:
    return run_script(_JOB, tmp_path, env)


def arrived(receiver: Receiver) -> list[str]:
    receiver.wait_for(lambda r: r.transactions and r.events)
    return [one.path for one in receiver.requests]


@pytest.mark.parametrize("protocol", ["transactions", "spans"])
def test_a_dsn_with_a_path_and_a_secret_is_used(receiver: Receiver, tmp_path: Path, protocol: str) -> None:
    dsn = f"http://publickey:hunter2@127.0.0.1:{receiver.port}/behind/sentry/1"
    ran = run(tmp_path, SENTRY_DSN=dsn, MITA_OTEL_SENTRY__PROTOCOL=protocol)
    assert ran.answer == {}
    assert {one.path for one in receiver.requests} == {"/behind/sentry/api/1/envelope/"}
    assert all("sentry_secret=hunter2" in one.headers["X-Sentry-Auth"] for one in receiver.requests)
    assert b"hunter2" not in receiver.raw


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy"])
def test_a_configured_proxy_is_used(
    receiver: Receiver, proxy: Receiver, tmp_path: Path, variable: str
) -> None:
    address = f"http://127.0.0.1:{proxy.port}"
    ran = run(tmp_path, SENTRY_DSN="http://publickey@sentry.example/1", **{variable: address, "NO_PROXY": ""})
    assert ran.answer == {}
    assert set(arrived(proxy)) == {"http://sentry.example/api/1/envelope/"}


def test_a_host_in_no_proxy_is_contacted_directly(
    receiver: Receiver, proxy: Receiver, tmp_path: Path
) -> None:
    ran = run(
        tmp_path, SENTRY_DSN=receiver.dsn, HTTP_PROXY=f"http://127.0.0.1:{proxy.port}", NO_PROXY="127.0.0.1"
    )
    assert ran.answer == {}
    assert set(arrived(receiver)) == {"/api/1/envelope/"}
    assert proxy.requests == []


def test_a_proxy_for_https_gets_a_connect_request(proxy: Receiver, tmp_path: Path) -> None:
    ran = run(
        tmp_path,
        SENTRY_DSN="https://publickey@sentry.example/1",
        HTTPS_PROXY=f"http://127.0.0.1:{proxy.port}",
        NO_PROXY="",
    )
    assert ran.answer == {"sentry: network_error": 1, "sentry.other: network_error": 1}
    assert {one.split()[:2] == ["CONNECT", "sentry.example:443"] for one in proxy.refused_lines} == {True}


def test_debug_output_of_sentry_sdk_contains_no_secret(receiver: Receiver, tmp_path: Path) -> None:
    ran = run_script(
        """
        import mita_otel
        from opentelemetry import trace
        telemetry = mita_otel.configure()
        with trace.get_tracer("test").start_as_current_span("job", attributes={"password": "hunter2"}):
            card = "4111111111111111"
            try:
                raise ValueError("card " + card)
            except ValueError as error:
                import sentry_sdk
                sentry_sdk.capture_exception(error)
        telemetry.shutdown()
        answer(None)
        """,
        tmp_path,
        {"SENTRY_DSN": receiver.dsn, "SENTRY_DEBUG": "true"},
    )
    assert "[sentry]" in ran.stderr
    assert "hunter2" not in ran.stderr
    assert not shows(ran.stderr)


def test_an_unreachable_sentry_is_counted_and_logged(tmp_path: Path) -> None:
    ran = run(tmp_path, SENTRY_DSN="http://publickey@127.0.0.1:1/1")
    assert ran.answer == {"sentry: network_error": 1, "sentry.other: network_error": 1}
    assert len([line for line in ran.stderr.splitlines() if "telemetry lost" in line]) == 2
    assert "Traceback" not in ran.stderr
