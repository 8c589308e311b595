"""OTLP over gRPC: all three signals arrive redacted, and none is lost at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from e2e.conftest import StartService
from e2e.grpc_receiver import GrpcReceiver

pytestmark = pytest.mark.e2e

CARD = "4111111111111111"
SERVER, CLIENT = 2, 3
"""Kinds of span in OTLP."""


@pytest.fixture
def collector() -> Iterator[GrpcReceiver]:
    receiver = GrpcReceiver()
    yield receiver
    receiver.close()


@pytest.mark.parametrize("stop", ["SIGTERM", "CTRL_C"])
def test_a_service_sends_all_signals_over_grpc(
    collector: GrpcReceiver, start_service: StartService, stop: str
) -> None:
    service = start_service(
        {
            "OTEL_TRACES_EXPORTER": "otlp",
            "OTEL_METRICS_EXPORTER": "otlp",
            "OTEL_LOGS_EXPORTER": "otlp",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.port}",
            "OTEL_EXPORTER_OTLP_HEADERS": "x-tenant=bank",
        }
    )
    for number in range(3):
        service.client.get(f"/api/items/{number}", params={"card_number": CARD})
    assert service.stop(stop) in (0, -2, -15)  # type: ignore[arg-type]

    kinds = Counter(span.kind for span in collector.spans() if not span.name.startswith("CREATE"))
    assert kinds == {SERVER: 3, CLIENT: 6}
    names = {metric.name for metric in collector.metrics()}
    assert {"http.server.request.duration", "mita.redaction.values"} <= names
    assert all(one["x-tenant"] == "bank" for one in collector.metadata)
    assert CARD.encode() not in collector.raw
    assert b"[redacted:pan]" in collector.raw
    assert "Traceback" not in service.said
