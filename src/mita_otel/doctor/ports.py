"""Checks that the port of the Prometheus exporter is free, or answers with metrics."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator, Mapping
from typing import Final

import urllib3

from mita_otel import environment_variables as variables
from mita_otel.policy.health import DoctorPolicy
from mita_otel.sdk.health.check import Check, Status

_NAME: Final = "exporter:prometheus"
_HOST: Final = "OTEL_EXPORTER_PROMETHEUS_HOST"
_DEFAULT_HOST, _DEFAULT_PORT = "localhost", 9464


def prometheus_checks(policy: DoctorPolicy, env: Mapping[str, str]) -> Iterator[Check]:
    """Check the port that the `prometheus` exporter listens on, if metrics are exported there.

    Args:
        policy: Time limits.
        env: The environment variables.
    """
    if "prometheus" not in {one.strip() for one in env.get(variables.METRICS_EXPORTER, "").split(",")}:
        return
    host = env.get(_HOST, "").strip() or _DEFAULT_HOST
    port = int(env.get(variables.PROMETHEUS_PORT, "").strip() or _DEFAULT_PORT)
    where = f"{host}:{port}"
    fault = _fault(host, port)
    if fault is None:
        yield Check(_NAME, Status.PASS, f"{where} is free")
    elif fault.errno != errno.EADDRINUSE:
        message = f"the exporter cannot listen on {where} ({fault.strerror or fault}); correct {_HOST} or {variables.PROMETHEUS_PORT}"
        yield Check(_NAME, Status.FAIL, message)
    elif _has_metrics(where, policy.timeout_s / 4):
        message = f"{where} answers with metrics already: if that is not this service, set {variables.PROMETHEUS_PORT} to a free port. Each process needs its own port"
        yield Check(_NAME, Status.WARN, message)
    else:
        message = f"{where} is in use by another program: set {variables.PROMETHEUS_PORT} to a free port"
        yield Check(_NAME, Status.FAIL, message)


def _fault(host: str, port: int) -> OSError | None:
    """Return why nothing can listen on an address. The port is free again afterwards."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(1)
    except OSError as error:
        return error
    return None


def _has_metrics(where: str, timeout_s: float) -> bool:
    try:
        answer = urllib3.request("GET", f"http://{where}/metrics", timeout=timeout_s, retries=False)
    except urllib3.exceptions.HTTPError:
        return False
    return answer.status == 200 and b"# TYPE " in answer.data
