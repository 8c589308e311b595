"""The port of the Prometheus exporter is free, in use, or already answers with metrics."""

from __future__ import annotations

import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

from doctor.kit import policy_with
from mita_otel.doctor.ports import prometheus_checks
from mita_otel.sdk.health.check import Check, Status

DOCTOR = policy_with().doctor


def checked(port: int, exporters: str = "otlp,prometheus", host: str = "127.0.0.1") -> list[Check]:
    env = {
        "OTEL_METRICS_EXPORTER": exporters, "OTEL_EXPORTER_PROMETHEUS_PORT": str(port), "OTEL_EXPORTER_PROMETHEUS_HOST": host,
    }  # fmt: skip
    return list(prometheus_checks(DOCTOR, env))


def test_a_port_in_use_fails_and_a_free_one_passes() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        [check] = checked(port)
        assert check.status is Status.FAIL
        assert check.said == (
            f"127.0.0.1:{port} is in use by another program: set OTEL_EXPORTER_PROMETHEUS_PORT to a free port"
        )
        assert checked(port, exporters="otlp") == []
    [check] = checked(port)
    assert check == Check("exporter:prometheus", Status.PASS, f"127.0.0.1:{port} is free")


class Metrics(BaseHTTPRequestHandler):
    """Answers as a Prometheus exporter does."""

    def do_GET(self) -> None:
        body = b"# TYPE target_info gauge\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None: ...


def test_a_port_that_answers_with_metrics_is_a_warning() -> None:
    with HTTPServer(("127.0.0.1", 0), Metrics) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        [check] = checked(server.server_port)
        thread.join(30)
    assert check.status is Status.WARN
    assert "answers with metrics already" in check.said


def test_an_address_of_another_machine_fails() -> None:
    [check] = checked(0, host="203.0.113.1")
    assert check.status is Status.FAIL
    assert "cannot listen on 203.0.113.1:0" in check.said
