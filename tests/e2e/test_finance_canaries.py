"""Secrets in every argument of the financial API are redacted in every exporter."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from e2e import canaries
from e2e.receiver import Receiver
from e2e.script import run_script

pytestmark = pytest.mark.e2e

SECRETS = {
    "exception": "4111111111111111",
    "additional context": "adc-Wq8Zr2LmN5vK",
    "tag": "5555555555554444",
    "fingerprint": "378282246310005",
    "transaction id": "6011111111111117",
    "operation name": "30569309025904",
    "operation data": "dat-Jp7Kd0WsVb4y",
    "operation tag": "4012888888881881",
    "result": "5105105105105100",
    "breadcrumb message": "4222222222222",
    "breadcrumb data": "crb-Xc6Vn1Mq9TzR",
    "compliance details": "cmp-Hf3Gy8Lb2QwE",
    "compliance requirement": "3530111333300000",
    "security details": "sec-Tb5Rn2Vx8KdA",
    "security type": "3566002020360505",
    "user extra": "usr-Pz4Mw7Yc1LqS",
    "request path": "6304000000000000",
    "request query": "qry-Gd9Fh3Ks6BnX",
    "request header": "hdr-Ve2Xu8Jt5CmO",
}

_CODE = """
S = json.loads(SECRETS)
import mita_otel
from mita_otel import *
telemetry = mita_otel.configure()
scope = {
    "type": "http", "method": "POST", "path": "/cards/" + S["request path"], "scheme": "https",
    "query_string": ("token=" + S["request query"]).encode(),
    "headers": [(b"host", b"bank.example"), (b"user-agent", b"curl"), (b"cookie", S["request header"].encode()),
                (b"x-request-id", b"req-1")],
}
with monitor_api_request(scope, additional_context={"password": S["additional context"]}):
    set_financial_user(UserContext("u-1", extra={"api_key": S["user extra"]}))
    add_financial_breadcrumb("card " + S["breadcrumb message"], data={"secret": S["breadcrumb data"]})
    set_compliance_context("PCI", S["compliance requirement"], "violation", {"password": S["compliance details"]})
    set_security_context(S["security type"], "critical", {"token": S["security details"]}, user_id="u-2")
    with financial_transaction_context("u-1", "pay " + S["operation name"], S["transaction id"], 5, "EUR") as operation:
        operation.set_data("pin", S["operation data"])
        operation.set_tag("note", S["operation tag"])
        operation.set_result({"id": "card " + S["result"]})
        try:
            raise ValueError("card " + S["exception"])
        except ValueError as error:
            capture_financial_error(
                error, additional_context={"nested": {"api_token": S["additional context"]}, "benign": "kept as it is"},
                tags={"note": "card " + S["tag"]}, fingerprint=["card " + S["fingerprint"]],
            )
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
    receiver.wait_for(lambda r: len(r.events) >= 3)
    return b"\n".join([receiver.raw, ran.stdout.encode(), (folder / "spans.jsonl").read_bytes()])


def test_no_secret_of_an_argument_leaves(receiver: Receiver, tmp_path: Path) -> None:
    data = written(receiver, tmp_path, {})
    assert canaries.leaks(data, SECRETS) == []
    assert data.count(b"kept as it is") >= 2


def test_without_redaction_every_secret_leaves(receiver: Receiver, tmp_path: Path) -> None:
    data = written(receiver, tmp_path, {"MITA_OTEL_REDACTION__ENABLED": "false"})
    silent = [place for place, secret in SECRETS.items() if not canaries.leaks(data, {place: secret})]
    # Unneeded headers are never exported, redacted or not.
    assert silent == ["request header"]
