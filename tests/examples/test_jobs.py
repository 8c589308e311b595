"""Jobs continue the trace and the transaction of their caller."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from examples.conftest import EXAMPLES, Run


@pytest.mark.parametrize("script", ["asyncio_jobs.py", "celery_jobs.py"])
def test_a_job_has_the_trace_and_the_transaction_of_its_caller(
    run_script: Run, tmp_path: Path, script: str
) -> None:
    path = tmp_path / "spans.jsonl"
    ran = run_script(
        EXAMPLES / "jobs" / script,
        {"OTEL_TRACES_EXPORTER": "file", "MITA_OTEL_FILE": str(path), "MITA_OTEL_SAMPLING__MODE": "always"},
    )
    assert ran.returncode == 0, ran.stderr
    spans = [json.loads(line) for line in path.read_text().splitlines()]
    orders, jobs = (by_transaction(spans, name) for name in ("order_payment", "settle_payment"))
    assert set(jobs) == set(orders) >= {"pay-1", "pay-2"}
    for payment, job in jobs.items():
        assert job["trace_id"] == orders[payment]["trace_id"]
        assert job["attributes"]["user.id"] == orders[payment]["attributes"]["user.id"]
        assert job["attributes"]["mita.operation.category"] == "payment_processing"
    refused = jobs["pay-2"]
    assert refused["status"]["code"] == "ERROR"
    assert refused["attributes"]["mita.error.category"] == "payment_processing"
    assert jobs["pay-1"]["attributes"]["mita.operation.outcome"] == "success"


def by_transaction(spans: list[dict[str, Any]], name: str) -> dict[str, dict[str, Any]]:
    return {span["attributes"]["mita.transaction.id"]: span for span in spans if span["name"] == name}
