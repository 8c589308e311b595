"""Entries are emitted as log records, and anchors posted to a URL; failures do not affect the trail."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import _logs
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor

from audit.kit import KEY, Kit
from mita_otel import AuditEvent
from mita_otel.audit.anchors import Anchor, AnchorPost
from mita_otel.audit.canonical import AuditKeys
from mita_otel.audit.log_record import emit_entry
from mita_otel.audit.trail import AuditTrail


class Receiver(http.server.BaseHTTPRequestHandler):
    got: list[Any]
    status = 200

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        type(self).got.append(json.loads(body))
        self.send_response(type(self).status)
        self.end_headers()

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[tuple[str, type[Receiver]]]:
    handler = type("Handler", (Receiver,), {"got": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/anchors", handler
    server.shutdown()
    thread.join()
    server.server_close()


ANCHOR = Anchor.sign(AuditKeys(KEY.encode()), chain="c", sequence=7, mac="m", noted_ns=5)


def test_an_anchor_is_posted_as_json_and_verifies_there(receiver: tuple[str, type[Receiver]]) -> None:
    url, handler = receiver
    AnchorPost(url, 5).note(ANCHOR)
    [posted] = handler.got
    assert Anchor.from_mapping(posted) == ANCHOR
    assert Anchor.from_mapping(posted).is_genuine(AuditKeys(KEY.encode()))


def test_a_failing_receiver_is_logged_once(
    receiver: tuple[str, type[Receiver]], caplog: pytest.LogCaptureFixture
) -> None:
    url, handler = receiver
    handler.status = 500
    post = AnchorPost(url, 5)
    post.note(ANCHOR)
    post.note(ANCHOR)
    assert [record.message for record in caplog.records] == [
        f"anchors do not reach {url}: it returned status 500; check audit.anchors.url"
    ]
    handler.status = 204
    post.note(ANCHOR)
    AnchorPost("http://127.0.0.1:1/", 1).note(ANCHOR)
    assert "anchors do not reach http://127.0.0.1:1/" in caplog.text


def test_an_entry_is_emitted_as_a_log_record(isolated_telemetry: None, tmp_path: Path) -> None:
    memory = InMemoryLogRecordExporter()
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(memory))
    _logs.set_logger_provider(provider)
    made = Kit(tmp_path)
    trail: AuditTrail = made.trail
    trail._on_recorded = emit_entry
    receipt = trail.record(
        AuditEvent(
            event_type="payment_process",
            user_id="u1",
            resource_id="tx-7",
            outcome="failure",
            details={"a": 1},
        )
    )
    made.close()
    [record] = [one.log_record for one in memory.get_finished_logs()]
    assert receipt is not None
    assert (record.event_name, record.body, record.severity_text) == (
        "mita.audit",
        "audit: payment_process failure",
        "WARN",
    )
    assert dict(record.attributes or {}) == {
        "mita.audit.type": "payment_process", "mita.audit.outcome": "failure", "mita.audit.resource_id": "tx-7",
        "mita.audit.chain": receipt.chain, "mita.audit.sequence": receipt.sequence, "mita.audit.mac": receipt.mac,
        "user.id": "u1",
    }  # fmt: skip


def test_a_failing_listener_does_not_affect_the_entry(tmp_path: Path) -> None:
    made = Kit(tmp_path)
    made.trail._on_recorded = lambda draft, receipt: 1 / 0  # type: ignore[assignment,return-value]
    assert made.trail.record(AuditEvent(event_type="test")) is not None
    made.close()
