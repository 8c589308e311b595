"""Plays recorded sessions of a Flutter app against the gateway, with new ids and the current time.

    python play.py http://127.0.0.1:8042 --backend http://127.0.0.1:8042

The envelopes in `recorded/` were written by hand from Sentry's protocol and the serialisation of sentry_flutter 9.27 and its
native SDKs. No app was run. The card numbers are the card schemes' published test numbers.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import re
import time
import tomllib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

HERE = Path(__file__).parent
RECORDED_KEY = "0123456789abcdef0123456789abcdef"
LASTED_S = 15
"""Duration of a recorded session in seconds."""
_TIME = re.compile(rb"2025-11-24T09:00:(\d\d\.\d{3})Z")
_MINUTE = b"2025-11-24T09:00:"
_SECONDS = re.compile(rb"17639748(\d\d)")
_IDS = re.compile(rb'"(?:event_id|trace_id|span_id|parent_span_id)":"([0-9a-f]{16,32})"')


@dataclass(frozen=True)
class Step:
    """A step of a session and the status of its response."""

    name: str
    status: int


class Session:
    """A session of an app. Equal ids stay equal when they are replaced.

    Args:
        key: Public key of the app's DSN.
    """

    def __init__(self, key: str) -> None:
        self._key = key
        self._salt = uuid.uuid4().bytes
        self._start_s = time.time() - LASTED_S
        self._starts_s: dict[str, float] = {}

    def envelope(self, name: str) -> bytes:
        """Return a recorded envelope with new ids and times. Each replacement has the length of the original."""
        body = (HERE / "recorded" / f"{name}.envelope").read_bytes()
        for old in set(_IDS.findall(body)):
            new = hashlib.sha256(self._salt + old).hexdigest()[: len(old)]
            body = body.replace(b'"%s"' % old, b'"%s"' % new.encode())
        start_s = self._starts_s.get(name, self._start_s)
        body = _TIME.sub(lambda found: _written(start_s + float(found[1])), body)
        body = body.replace(_MINUTE, _written(start_s)[: len(_MINUTE)])
        body = _SECONDS.sub(lambda found: b"%d" % (start_s + int(found[1])), body)
        header, newline, items = body.partition(b"\n")
        return header.replace(RECORDED_KEY.encode(), self._key.encode()) + newline + items

    def call(self, name: str, path: str) -> dict[str, str]:
        """Return the headers of a request whose span is in the envelope."""
        recorded = json.loads((HERE / "recorded" / f"{name}.envelope").read_bytes().split(b"\n")[2])
        start = _request(recorded, path)["start_timestamp"]
        self._starts_s[name] = time.time() - 0.02 - float(start[17:23])
        header, _, payload = self.envelope(name).split(b"\n")[:3]
        span, trace = _request(json.loads(payload), path), json.loads(header)["trace"]
        return {
            "sentry-trace": f"{span['trace_id']}-{span['span_id']}-1",
            "baggage": ",".join(f"sentry-{name}={quote(value, safe='')}" for name, value in trace.items()),
            "traceparent": f"00-{span['trace_id']}-{span['span_id']}-01",
        }


def _request(transaction: dict[str, Any], path: str) -> dict[str, Any]:
    """Return the span of the request to a path."""
    spans: list[dict[str, Any]] = transaction["spans"]
    return next(one for one in spans if one["op"] == "http.client" and path in one["description"])


def _written(seconds: float) -> bytes:
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")
    return f"{text[:23]}Z".encode()


def play(
    name: str, gateway: str, backend: str | None, *, key: str = RECORDED_KEY, project: str = "42"
) -> Iterator[Step]:
    """Play a session. Yields each step.

    Args:
        name: Name of the session in `sessions.toml`.
        gateway: URL of the gateway.
        backend: URL for the requests of the app; None skips them.
        key: Public key of the app's DSN.
        project: Project id of the app's DSN.
    """
    session = Session(key)
    auth = f"Sentry sentry_version=7, sentry_client=sentry.dart.flutter/9.27.0, sentry_key={key}"
    headers = {
        "x-sentry-auth": auth,
        "content-encoding": "gzip",
        "content-type": "application/x-sentry-envelope",
    }
    with httpx.Client(timeout=30) as client:
        for step in sessions()[name]:
            if "send" in step:
                packed = gzip.compress(session.envelope(step["send"]))
                answer = client.post(f"{gateway}/api/{project}/envelope/", content=packed, headers=headers)
                yield Step(step["send"], answer.status_code)
            elif backend is not None:
                method, _, path = step["call"].partition(" ")
                answer = client.request(method, backend + path, headers=session.call(step["from"], path))
                yield Step(step["call"], answer.status_code)


def sessions() -> dict[str, list[dict[str, Any]]]:
    """Return the steps of each session."""
    return tomllib.loads((HERE / "sessions.toml").read_text("utf-8"))


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Plays recorded sessions of a Flutter app against the gateway."
    )
    parser.add_argument("gateway", help="URL of the gateway, for example http://127.0.0.1:8042")
    parser.add_argument("--backend", help="URL for the requests of the app; without it, none are made")
    parser.add_argument(
        "--session",
        choices=sorted(sessions()),
        action="append",
        help="session to play; may be repeated (default: all)",
    )
    parser.add_argument("--key", default=RECORDED_KEY, help="public key of the app's DSN")
    parser.add_argument("--project", default="42", help="project id of the app's DSN")
    arguments = parser.parse_args()
    try:
        for name in arguments.session or sorted(sessions()):
            print(name)
            for step in play(
                name, arguments.gateway, arguments.backend, key=arguments.key, project=arguments.project
            ):
                print(f"  {step.status} {step.name}")
    except httpx.ConnectError:
        raise SystemExit(f"no service listens at {arguments.gateway}; start it first") from None


if __name__ == "__main__":
    main()
