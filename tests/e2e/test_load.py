"""The example under load with production settings: breaches arrive, and counts are exact."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.protobuf.json_format import MessageToDict

from e2e.conftest import StartService
from e2e.receiver import Receiver
from e2e.service import Launcher
from e2e.transactions import requests, trace_of

pytestmark = pytest.mark.e2e

FOLDER = Path(__file__).parents[2] / "examples" / "payments"
THREADS, REQUESTS = 6, 450

QUICK = ["/api/accounts/1", "/api/accounts/2/balance", "/api/accounts/3/transactions", "/health"]
SLOW = [
    ("/api/accounts/1/balance?simulate_ms=330", "api.financial.GET"),
    ("/api/accounts/2/statement?simulate_ms=240", "database.SELECT"),
]


def breaches_counted(receiver: Receiver) -> int:
    """Return the number of breaches in the newest counts of each process."""
    newest: dict[tuple[str, str], int] = {}
    for one in receiver.requests:
        if one.path == "/v1/metrics":
            for resource in MessageToDict(one.message).get("resourceMetrics", []):
                where = str(sorted(map(str, resource["resource"]["attributes"])))
                for scope in resource.get("scopeMetrics", []):
                    for metric in scope.get("metrics", []):
                        if metric["name"] == "mita.latency.breaches":
                            for point in metric["sum"]["dataPoints"]:
                                newest[where, str(point["attributes"])] = int(point["asInt"])
    return sum(newest.values())


def breaches_received(receiver: Receiver) -> int:
    """Return the number of spans that are marked as breaches."""
    return sum(
        bool(data.get("mita.latency.exceeded"))
        for one in receiver.transactions
        for data in [trace_of(one).get("data", {}), *(span.get("data", {}) for span in one["spans"])]
    )


@pytest.mark.parametrize("launcher", ["single", "workers"])
def test_every_request_above_its_limit_arrives(
    receiver: Receiver, start_service: StartService, tmp_path: Path, launcher: Launcher
) -> None:
    service = start_service(
        {
            "SENTRY_DSN": receiver.dsn,
            "OTEL_METRICS_EXPORTER": "otlp",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.otlp_endpoint,
            "DATABASE_URL": f"sqlite:///{tmp_path}/payments.db",
            "MITA_OTEL_SAMPLING__MODE": None,
        },
        FOLDER,
        launcher=launcher,
    )
    chance = random.Random(11)
    slow: dict[str, str] = {}
    asked: list[tuple[str, str]] = []
    for number in range(REQUESTS):
        trace_id = f"{chance.getrandbits(128):032x}"
        path = chance.choice(QUICK)
        if number % 30 == 0:
            path, slow[trace_id] = SLOW[number // 30 % 2]
        asked.append((path, trace_id))

    def send(client: httpx.Client, path: str, trace_id: str) -> int:
        return client.get(path, headers={"traceparent": f"00-{trace_id}-00f067aa0ba902b7-01"}).status_code

    url = f"http://127.0.0.1:{service.port}"
    with httpx.Client(base_url=url, timeout=60) as client, ThreadPoolExecutor(THREADS) as threads:
        statuses = list(threads.map(lambda one: send(client, *one), asked))
    assert set(statuses) == {200}
    service.stop()

    def arrived(r: Receiver) -> dict[str, Any]:
        return {trace_of(one)["trace_id"]: one for one in requests(r)}

    receiver.wait_for(lambda r: set(slow) <= set(arrived(r)))
    found = arrived(receiver)
    for trace_id, rule in slow.items():
        assert found[trace_id]["tags"]["performance_issue"] == "true"
        rules = {breach["rule"] for breach in found[trace_id]["contexts"]["latency"]["breaches"]}
        assert rule in rules
    # On a busy machine more requests are slow: as many arrive as the service has counted.
    assert breaches_received(receiver) == breaches_counted(receiver) >= len(slow)
    by_ratio = [one for one in found.values() if trace_of(one)["data"].get("mita.sampling.reason") == "ratio"]
    assert len(by_ratio) <= 90, "45 of 450 on average"
