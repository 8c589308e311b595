"""Secrets in every part of manually created spans, log records and metrics are redacted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from e2e import canaries
from e2e.receiver import Receiver
from e2e.script import run_script

pytestmark = pytest.mark.e2e

SECRETS = {
    "span name": "4111111111111111",
    "attribute by name": "atr-Wq8Zr2LmN5vK",
    "attribute by value": "5555555555554444",
    "nested attribute": "nst-Jp7Kd0WsVb4y",
    "list": "378282246310005",
    "attribute's name": "6011111111111117",
    "event's name": "30569309025904",
    "event's attribute": "evt-Xc6Vn1Mq9TzR",
    "exception": "4012888888881881",
    "link's attribute": "lnk-Hf3Gy8Lb2QwE",
    "status description": "5105105105105100",
    "scope's attribute": "scp-Tb5Rn2Vx8KdA",
    "JSON in a text": "jsn-Pz4Mw7Yc1LqS",
    "URL": "url-Gd9Fh3Ks6BnX",
    "log body": "4222222222222",
    "log attribute": "log-Ve2Xu8Jt5CmO",
    "metric attribute by name": "mtr-Ia7Ql4Zp9WsE",
    "metric attribute by value": "3530111333300000",
}

_CODE = """
S = json.loads(SECRETS)
import mita_otel
from opentelemetry import _logs, metrics, trace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.trace import Link, SpanContext, Status, StatusCode, TraceFlags
telemetry = mita_otel.configure()
tracer = trace.get_tracer("test", attributes={"scope.password": S["scope's attribute"]})
other = SpanContext(7, 7, False, TraceFlags(1))
with tracer.start_as_current_span(
    "pay with " + S["span name"], links=[Link(other, {"token": S["link's attribute"]})]
) as span:
    span.set_attributes({
        "password": S["attribute by name"],
        "note": "card " + S["attribute by value"],
        "nested": {"deep": {"api_key": S["nested attribute"]}},
        "list": ["a", S["list"]],
        "seen " + S["attribute's name"]: True,
        "payload": json.dumps({"user": {"password": S["JSON in a text"]}}),
        "url.full": "https://ada:" + S["URL"] + "@example.com/a?token=" + S["URL"],
        "benign": "kept as it is",
    })
    span.add_event("refused " + S["event's name"], {"secret": S["event's attribute"]})
    span.record_exception(ValueError("card " + S["exception"]))
    span.set_status(Status(StatusCode.ERROR, "card " + S["status description"]))
_logs.get_logger("test").emit(
    LogRecord(
        body="card " + S["log body"],
        severity_number=SeverityNumber.ERROR,
        attributes={"password": S["log attribute"]},
    )
)
counter = metrics.get_meter("test").create_counter("payments")
counter.add(1, {"password": S["metric attribute by name"], "note": S["metric attribute by value"], "kind": "benign"})
telemetry.shutdown()
answer(True)
"""


def written(receiver: Receiver, folder: Path, extra: dict[str, str]) -> bytes:
    """Run the code, and return the output of every exporter."""
    ran = run_script(
        _CODE.replace("SECRETS", repr(json.dumps(SECRETS))),
        folder,
        {
            "OTEL_TRACES_EXPORTER": "sentry,otlp,console,file",
            "OTEL_LOGS_EXPORTER": "otlp",
            "OTEL_METRICS_EXPORTER": "otlp",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.otlp_endpoint,
            "SENTRY_DSN": receiver.dsn,
            "MITA_OTEL_FILE": "spans.jsonl",
            **extra,
        },
    )
    paths = {"/api/1/envelope/", "/v1/traces", "/v1/logs", "/v1/metrics"}
    receiver.wait_for(lambda r: paths <= {one.path for one in r.requests})
    return b"\n".join([receiver.raw, ran.stdout.encode(), (folder / "spans.jsonl").read_bytes()])


def test_no_secret_leaves_in_any_part_of_a_signal(receiver: Receiver, tmp_path: Path) -> None:
    data = written(receiver, tmp_path, {})
    assert canaries.leaks(data, SECRETS) == []
    assert data.count(b"kept as it is") >= 3
    assert b"payments" in data


def test_without_redaction_every_secret_leaves(receiver: Receiver, tmp_path: Path) -> None:
    data = written(receiver, tmp_path, {"MITA_OTEL_REDACTION__ENABLED": "false"})
    silent = [place for place, secret in SECRETS.items() if not canaries.leaks(data, {place: secret})]
    assert silent == []
