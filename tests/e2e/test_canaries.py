"""Secrets in every part of a request are redacted in every exporter.

The same search must find the secrets without one of the processors, and with redaction disabled.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from e2e import canaries
from e2e.conftest import StartService
from e2e.distribution import sabotage
from e2e.receiver import Receiver
from e2e.relay import judge
from e2e.transactions import requests

pytestmark = pytest.mark.e2e


@dataclass(frozen=True)
class Written:
    """The bytes that each exporter wrote."""

    by: dict[str, bytes]
    receiver: Receiver

    def leaks(self) -> list[str]:
        return [f"{exporter}: {leak}" for exporter, data in self.by.items() for leak in canaries.leaks(data)]


def send_canaries(service: Any) -> None:
    """Send each secret in its part of a request."""
    body = {
        "id": "card-1",
        "password": canaries.BODY.secret,
        "card_number": canaries.PARAMETER.secret,
        "literal": canaries.LITERAL.secret,
        "in_exception": canaries.EXCEPTION.secret,
    }
    answer = service.client.post(
        f"/api/cards/{canaries.PATH.secret}",
        params={"note": canaries.QUERY_CARD.secret, "access_token": canaries.QUERY_TOKEN.secret},
        headers={
            "x-signing-key": canaries.HEADER.secret,
            "authorization": f"Bearer {canaries.HEADER.secret}",
        },
        json=body,
    )
    assert answer.status_code == 500
    assert service.client.post(f"/api/same-card/{canaries.IDENTITY.secret}").status_code == 500
    service.client.get("/api/accounts/1/balance?wait_s=0.32").raise_for_status()


def run(
    receiver: Receiver, start_service: StartService, folder: Path, extra: dict[str, str] | None = None
) -> Written:
    """Start the service with every exporter, send the secrets, end it, and collect all output."""
    service = start_service(
        {
            "OTEL_TRACES_EXPORTER": "sentry,otlp,console,file",
            "OTEL_LOGS_EXPORTER": "otlp",
            "OTEL_METRICS_EXPORTER": "otlp",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.otlp_endpoint,
            "OTEL_RESOURCE_ATTRIBUTES": f"deployment.password={canaries.RESOURCE.secret}",
            "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST": ".*",
            "SENTRY_DSN": receiver.dsn,
            "MITA_OTEL_FILE": str(folder / "spans.jsonl"),
            **(extra or {}),
        }
    )
    send_canaries(service)
    service.stop()
    receiver.wait_for(lambda r: len(requests(r)) >= 3 and len(r.events) >= 2)
    receiver.wait_for(lambda r: any(one.path == "/v1/traces" for one in r.requests))
    kinds: dict[str, bytes] = {"sentry transactions": b"", "sentry events": b"", "sentry other": b""}
    for one in receiver.requests:
        if one.items:
            for item in one.items:
                kind = {"transaction": "transactions", "event": "events"}.get(item.type, "other")
                kinds[f"sentry {kind}"] += item.payload
        else:
            kinds[f"otlp {one.path}"] = kinds.get(f"otlp {one.path}", b"") + one.body
    return Written(
        {**kinds, "console": service.stdout.text.encode(), "file": (folder / "spans.jsonl").read_bytes()},
        receiver,
    )


def prove(written: Written) -> None:
    """Assert that no secret is in the output, limits are marked, and all spans are present."""
    for exporter in ("sentry transactions", "sentry events", "otlp /v1/traces", "console", "file"):
        assert written.by[exporter], f"{exporter} wrote nothing, which proves nothing"
    leaks = written.leaks()
    assert not leaks, "\n".join(leaks)
    for exporter in ("sentry transactions", "otlp /v1/traces", "file"):
        assert b"mita.latency.rule" in written.by[exporter], f"no breach is marked in {exporter}"
        assert b"mita.redacted" in written.by[exporter], f"no redaction is counted in {exporter}"


def test_no_secret_leaves_through_any_exporter(
    receiver: Receiver, start_service: StartService, tmp_path: Path
) -> None:
    written = run(receiver, start_service, tmp_path)
    prove(written)
    # Values that are not secret are unchanged.
    for exporter in ("sentry transactions", "file"):
        for benign in (b"/api/cards/{card}", b"INSERT INTO cards", b"/api/accounts/{account_id}/balance"):
            assert benign in written.by[exporter]
    for payload in receiver.transactions + receiver.events:
        judge(payload)
    [error] = [e for e in receiver.events if e["exception"]["values"][-1]["type"] == "RuntimeError"]
    frames = error["exception"]["values"][-1]["stacktrace"]["frames"]
    assert frames[-1]["function"] == "add_card"
    assert "was refused" in error["exception"]["values"][-1]["value"]


@pytest.mark.parametrize("source", ["contrib"])
def test_no_secret_leaves_with_either_instrumentation_and_message_spans(
    receiver: Receiver, start_service: StartService, tmp_path: Path, source: str
) -> None:
    prove(
        run(
            receiver,
            start_service,
            tmp_path,
            {
                "MITA_OTEL_INSTRUMENTATION__FASTAPI": source,
                "MITA_OTEL_INSTRUMENTATION__ASGI_MESSAGE_SPANS": "true",
                "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SANITIZE_FIELDS": "",
            },
        )
    )


def test_no_secret_leaves_with_fastapis_operation_spans(
    receiver: Receiver, start_service: StartService, tmp_path: Path
) -> None:
    extra = {"MITA_OTEL_INSTRUMENTATION__FASTAPI_OPERATION_SPANS": "true"}
    prove(run(receiver, start_service, tmp_path, extra))


TAKEN_OUT = {
    "limits": (
        """
from mita_otel.processors.threshold import ThresholdProcessor
ThresholdProcessor.process = lambda self, span: span
""",
        r"no breach is marked in sentry transactions",
    ),
    "redaction of spans": (
        """
from mita_otel.processors.redaction import RedactionProcessor
RedactionProcessor.process = lambda self, span: span
""",
        r"(?s)sentry transactions: path.*otlp /v1/traces: SQL literal.*file: ",
    ),
    "redaction of Sentry's events": (
        """
from mita_otel.redaction.sentry_event import Events
Events.redact = lambda self, event, tally: event
""",
        r"(?s)sentry events: header.*sentry events: exception text",
    ),
    "redaction of log records": (
        """
from mita_otel.processors.log_redaction import LogRedaction
LogRedaction.redacted = lambda self, record: record
""",
        r"otlp /v1/logs: exception text",
    ),
}


@pytest.mark.parametrize(("disabled", "found"), TAKEN_OUT.values(), ids=TAKEN_OUT.keys())
def test_the_check_fails_without_any_one_processor(
    receiver: Receiver, start_service: StartService, tmp_path: Path, disabled: str, found: str
) -> None:
    written = run(receiver, start_service, tmp_path, sabotage(tmp_path / "site", disabled))
    with pytest.raises(AssertionError, match=found):
        prove(written)


def test_without_redaction_every_canary_leaves(
    receiver: Receiver, start_service: StartService, tmp_path: Path
) -> None:
    written = run(receiver, start_service, tmp_path, {"MITA_OTEL_REDACTION__ENABLED": "false"})
    everything = b"\n".join(written.by.values())
    silent = [canary.place for canary in canaries.ALL if not canaries.leaks(everything, {"": canary.secret})]
    assert silent == [], "these would not be noticed if they leaked"


def _shapes(secret: str) -> Iterator[bytes]:
    digits = "".join(filter(str.isdigit, secret))
    yield secret.encode()
    yield json.dumps({"a": [secret]}).encode()
    yield b"x" + base64.b64encode(b"?" + secret.encode() + b"..") + b"="
    yield secret.encode().hex().encode()
    yield secret[::-1].encode()
    yield secret.encode("utf-16-le")
    yield "".join(f"%{byte:02X}" for byte in secret.encode()).encode()
    yield "".join(f"\\u00{byte:02x}" for byte in secret.encode()).encode()
    yield f"\x1b[1m{secret[:6]}\x1b[0m\n  {secret[6:]}".encode()
    if len(digits) > 8:
        yield digits.encode()
        yield ".".join(digits).encode()
        yield digits[: len(digits) // 2 + 3].encode()


@pytest.mark.parametrize("canary", canaries.ALL, ids=lambda canary: canary.place)
def test_the_search_finds_a_secret_in_any_encoding(canary: canaries.Canary) -> None:
    for shape in _shapes(canary.secret):
        assert canaries.leaks(b"before " + shape + b" after", {"": canary.secret}), shape
    assert canaries.leaks(b'{"card": "[redacted:pan]", "n": 1700000000}') == []
