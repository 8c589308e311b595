"""Anchors are timestamped over HTTP, and verified with and without the authority's certificate."""

from __future__ import annotations

import hashlib
import http.server
import re
import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from audit.kit import KEY, Kit, changed, kit
from mita_otel import AuditEvent
from mita_otel.audit.anchors import Anchor, read_anchors
from mita_otel.audit.canonical import AuditKeys
from mita_otel.audit.errors import AuditError
from mita_otel.audit.runtime import AuditRuntime, authority_path
from mita_otel.audit.timestamp_signatures import TimestampVerifier
from mita_otel.audit.timestamps import (
    AnchorTimestamps,
    StampedAnchor,
    Timestamp,
    read_timestamps,
    stamped_line,
)
from mita_otel.audit.verification.verify import verify
from mita_otel.redaction import Redactor
from mita_otel.reports.export import create_report
from mita_otel.reports.scope import ReportScope, last_days

KEYS = AuditKeys(KEY.encode())
CONFIGURATION = """
[tsa]
default_tsa = it
[it]
serial = {folder}/serial
signer_cert = {folder}/tsa.pem
certs = {folder}/tsa.pem
signer_key = {folder}/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
accuracy = secs:1
[leaf]
extendedKeyUsage = critical,timeStamping
"""


class Authority:
    """Answers timestamp queries with `openssl ts`, or with the response that a test sets."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.certificate = folder / "tsa.pem"
        self.answer: tuple[int, bytes] | None = None
        (folder / "serial").write_text("01")
        (folder / "tsa.cnf").write_text(CONFIGURATION.format(folder=folder))
        openssl(
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=authority of the test",
            "-config", f"{folder}/tsa.cnf", "-extensions", "leaf", "-keyout", f"{folder}/tsa.key", "-out", f"{folder}/tsa.pem",
        )  # fmt: skip

    def reply(self, query: bytes) -> tuple[int, bytes]:
        if self.answer is not None:
            return self.answer
        (self.folder / "query").write_bytes(query)
        openssl(
            "ts", "-reply", "-queryfile", f"{self.folder}/query", "-config", f"{self.folder}/tsa.cnf",
            "-out", f"{self.folder}/reply",
        )  # fmt: skip
        return 200, (self.folder / "reply").read_bytes()


def openssl(*arguments: str) -> None:
    (found,) = [shutil.which("openssl")]
    if found is None:
        pytest.skip("openssl is not installed")
    done = subprocess.run([found, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def url(authority: Authority) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.headers["content-type"] == "application/timestamp-query"
            status, body = authority.reply(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: Any) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/tsa"
        server.shutdown()
        thread.join()
    authority.answer = None


def anchored(kit: Kit, url: str, path: Path) -> StampedAnchor:
    """Record an entry, and return the anchor of its chain with a timestamp."""
    kit.trail.record(AuditEvent(event_type="login", user_id="u1"))
    kit.close()
    AnchorTimestamps(url, path, 30).note(kit.anchors()[-1])
    [stamped] = read_timestamps(path)
    return stamped


def faults(kit: Kit, *stamped: StampedAnchor, authority: Path | None = None) -> list[str]:
    found = verify(kit.database, kit.keys, timestamps=stamped, max_lag_s=3600, authority=authority)
    assert found.timestamps == len(stamped)
    return [one.message for one in found.findings]


def test_an_anchor_is_timestamped_and_verified(tmp_path: Path, url: str, authority: Authority) -> None:
    with kit(tmp_path) as trail:
        stamped = anchored(trail, url, tmp_path / "elsewhere" / "timestamps.jsonl")
        assert abs(Timestamp.of_token(stamped.token).time_ns - time.time_ns()) < 600 * 10**9
        assert faults(trail, stamped) == []
        assert faults(trail, stamped, authority=authority.certificate) == []
        by_itself, by_authority = (
            verify(trail.database, trail.keys, timestamps=[stamped], authority=one)
            for one in (None, authority.certificate)
        )
        assert (by_itself.signatures, by_authority.signatures) == (1, 1)
        assert by_authority.unverified == []
        [unverified] = by_itself.unverified
        assert unverified.startswith("whether the signers of the timestamps are your time-stamping authority")
        certificate = ssl.PEM_cert_to_DER_cert(authority.certificate.read_text())
        assert unverified.endswith(f"Signed by SHA-256 {hashlib.sha256(certificate).hexdigest()} (1)")
    assert stamped.anchor.is_genuine(KEYS)


def test_a_backdated_anchor_is_found(tmp_path: Path, url: str, authority: Authority) -> None:
    """The key can sign any anchor, but the authority does not issue timestamps in the past."""
    with kit(tmp_path) as trail:
        anchored(trail, url, tmp_path / "timestamps.jsonl")
        genuine = trail.anchors()[-1]
        old = Anchor.sign(
            KEYS,
            chain=genuine.chain,
            sequence=genuine.sequence,
            mac=genuine.mac,
            noted_ns=genuine.noted_ns - 10**13,
        )
        AnchorTimestamps(url, tmp_path / "forged.jsonl", 30).note(old)
        [forged] = read_timestamps(tmp_path / "forged.jsonl")
        [message] = faults(trail, forged, authority=authority.certificate)
        assert re.match(r"the anchor was timestamped (9,9|10,)", message)
        assert message.endswith("seconds after the time that it claims: it was written later")


def test_a_timestamp_of_another_anchor_or_authority_is_found(
    tmp_path: Path, url: str, authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with kit(tmp_path) as trail:
        stamped = anchored(trail, url, tmp_path / "timestamps.jsonl")
        other = Anchor.sign(
            KEYS,
            chain=stamped.anchor.chain,
            sequence=0,
            mac=stamped.anchor.mac,
            noted_ns=stamped.anchor.noted_ns,
        )
        assert "the timestamp is of another anchor: the anchor was changed" in faults(
            trail, replace(stamped, anchor=other)
        )
        [message] = faults(trail, replace(stamped, token=stamped.token[:-9]))
        assert message.startswith("the timestamp cannot be read (")
        broken = stamped.token[:-1] + bytes([stamped.token[-1] ^ 1])
        assert faults(trail, replace(stamped, token=broken)) == [
            "the signature of the timestamp is not valid: the timestamp was changed"
        ]
        stranger = Authority(tmp_path_factory.mktemp("stranger"))
        for one, certificate in ((replace(stamped, token=broken), authority), (stamped, stranger)):
            assert faults(trail, one, authority=certificate.certificate) == [
                "the signature of the timestamp is not that of the authority"
            ]


def test_without_openssl_the_signature_check_is_an_error(
    tmp_path: Path, url: str, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    with kit(tmp_path) as trail:
        stamped = anchored(trail, url, tmp_path / "timestamps.jsonl")
        monkeypatch.setattr(shutil, "which", lambda name: None)
        with pytest.raises(AuditError, match="openssl, which is not installed"):
            faults(trail, stamped, authority=authority.certificate)
        found = verify(trail.database, trail.keys, timestamps=[stamped])
        assert (found.ok, found.signatures) == (True, 0)
        assert found.unverified == ["the signatures of 1 timestamps: openssl is not installed"]


REJECTED = bytes.fromhex("30053003020102")


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ((503, b""), "it returned status 503 and 0 bytes"),
        ((200, REJECTED), "it refused the request with status 2"),
        ((200, b""), "DER with missing members"),
        ((200, b"<html>"), "incomplete DER"),
        ((200, b"\x30\x84\xff\xff\xff\xff"), "incomplete DER"),
        ((200, b"0" * 70_000), "it returned status 200 and 65,537 bytes"),
    ],
)
def test_a_failing_authority_is_logged_once(
    url: str,
    authority: Authority,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    answer: Any,
    problem: str,
) -> None:
    authority.answer = answer
    sink, path = AnchorTimestamps(url, tmp_path / "timestamps.jsonl", 30), tmp_path / "timestamps.jsonl"
    anchor = Anchor.sign(KEYS, chain="c", sequence=7, mac="m", noted_ns=time.time_ns())
    sink.note(anchor)
    sink.note(anchor)
    [message] = [record.message for record in caplog.records]
    assert message == f"anchors are not timestamped by {url}: {problem}; check audit.anchors.timestamp_url"
    assert not path.exists()
    authority.answer = None
    sink.note(anchor)
    assert len(list(read_timestamps(path))) == 1


def test_a_response_to_another_request_is_refused(
    url: str, authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sink = AnchorTimestamps(url, tmp_path / "timestamps.jsonl", 30)
    anchor = Anchor.sign(KEYS, chain="c", sequence=7, mac="m", noted_ns=time.time_ns())
    sink.note(anchor)
    authority.answer = (200, (authority.folder / "reply").read_bytes())
    sink.note(anchor)
    assert "its timestamp is of another request" in caplog.text
    assert len(list(read_timestamps(tmp_path / "timestamps.jsonl"))) == 1


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "timestamps.jsonl"
    anchor = Anchor.sign(KEYS, chain="c", sequence=7, mac="m", noted_ns=5)
    path.write_bytes(stamped_line(anchor, b"token") + b'{"anchor": {}, "timestamp": ""}\n')
    with pytest.raises(AuditError, match="line 2: not an anchor"):
        list(read_timestamps(path))


def test_the_policy_enables_timestamps(
    url: str, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "timestamps.jsonl"
    policy = changed(
        audit__anchors__timestamp_url=url,
        audit__anchors__timestamps=str(path),
        audit__anchors__timestamp_authority=str(authority.certificate),
    )
    env = {
        "MITA_OTEL_AUDIT_KEY": KEY, "MITA_OTEL_AUDIT_SPOOL": str(tmp_path / "spool"),
        "MITA_OTEL_AUDIT_ANCHORS": str(tmp_path / "anchors.jsonl"), "MITA_OTEL_DATABASE_URL": f"sqlite:///{tmp_path / 'db'}",
    }  # fmt: skip
    runtime = AuditRuntime(policy, Redactor(policy), environment="test", service="payments", env=env)
    receipt = runtime.trail.record(AuditEvent(event_type="login", user_id="u1"))
    runtime.close()
    assert receipt is not None
    stamped = list(read_timestamps(path))
    assert [one.anchor for one in stamped] == list(read_anchors(tmp_path / "anchors.jsonl"))
    assert stamped[-1].anchor.chain == receipt.chain
    verifier = TimestampVerifier(authority.certificate, 3600)
    runtime = AuditRuntime(policy, Redactor(policy), environment="test", service="payments", env=env)
    monkeypatch.setenv("MITA_OTEL_AUDIT_ANCHORS", str(tmp_path / "anchors.jsonl"))
    try:
        report = create_report("compliance", ReportScope(last_days(1, datetime.now(UTC))), runtime, policy)
    finally:
        runtime.close()
    assert report.audit is not None and report.audit.verification is not None
    shown = report.audit.verification
    assert (shown.ok, shown.timestamps, shown.signatures) == (True, len(stamped), len(stamped))
    assert shown.unverified == []
    nowhere = changed(audit__anchors__timestamp_authority=str(tmp_path / "ca.pem"))
    with pytest.raises(AuditError, match=r"timestamp_authority: .*ca\.pem is not a file; correct the path"):
        authority_path(nowhere)
    assert [problem for _, problem in verifier.problems(stamped)] == [None] * len(stamped)
