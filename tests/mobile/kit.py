"""A policy with one app, envelopes as apps send them, and secrets that must never leave."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from mita_otel.mobile import MobileApp
from mita_otel.mobile.envelope import EnvelopeBounds, parse_envelope
from mita_otel.mobile.preparation import Intake
from mita_otel.policy import Policy, default_policy
from mita_otel.policy.conversion import convert
from mita_otel.policy.mobile import MobilePolicy, MobileProject

KEY = "0123456789abcdef0123456789abcdef"
PROJECT = "42"
UPSTREAM = "https://fedcbafedcbafedc@o1.ingest.sentry.io/77"
AUTH = {
    "x-sentry-auth": f"Sentry sentry_version=7, sentry_client=sentry.dart.flutter/9.27.0, sentry_key={KEY}"
}

UNREACHABLE = "http://fedcbafedcbafedc@127.0.0.1:9/1"
"""An upstream that does not answer."""
ENVELOPE = f"/api/{PROJECT}/envelope/"
MakeApp = Callable[..., MobileApp]

RECORDED = Path(__file__).parents[2] / "examples" / "mobile" / "recorded"
SHAPES = sorted(path.stem for path in RECORDED.glob("*.envelope"))
"""Envelopes recorded from sentry_flutter, its native SDKs and Sentry's JavaScript SDK."""

SECRETS = (
    b"4111 1111 1111 1111",
    b"4111111111111111 ",
    b'"4111111111111111"',
    b"=4111111111111111",
    b":4111111111111111",
    b"5555555555554444",
    b"GB82WEST12345698765432",
    b"9876543210",
    b"tok-5f1e0c7a9b3d",
    b"k-5b1f2c3d4e5f",
    b"eyJhbGciOiJIUzI1NiJ9",
    b"5b8f0e2a7c914d3b",
    b"sid=8f2c1d",
    b"4711",
    b"cvv 737",
    b':"737"',
)
"""Secrets in the recorded envelopes."""


def client_of(app: Any, address: str = "203.0.113.7") -> httpx.AsyncClient:
    """Return a client of an application in this process, with the given address."""
    transport = httpx.ASGITransport(app, client=(address, 5000))
    return httpx.AsyncClient(transport=transport, base_url="http://gateway")


def recorded(name: str) -> bytes:
    """Return a recorded envelope."""
    return (RECORDED / f"{name}.envelope").read_bytes()


def recorded_now(name: str) -> bytes:
    """Return a recorded envelope as if it had been recorded a minute ago."""
    start = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=1)
    body = recorded(name).replace(b"2025-11-24T09:00:", start.strftime("%Y-%m-%dT%H:%M:").encode())
    return re.sub(rb"17639748(\d\d)", lambda found: b"%d" % (start.timestamp() + int(found[1])), body)


def policy_with(
    folder: Path | None = None,
    *,
    upstream: str = UPSTREAM,
    project: Mapping[str, Any] | None = None,
    isolation: str = "thread",
    **sections: Mapping[str, Any],
) -> Policy:
    """Return the default policy with one app, and changes by section of `mobile`."""
    policy = default_policy()
    app = MobileProject(id=PROJECT, keys=(KEY,), **{"upstream": upstream, **(project or {})})
    changes: dict[str, dict[str, Any]] = {name: dict(values) for name, values in sections.items()}
    changes.setdefault("intake", {})["isolation"] = isolation
    if folder is not None:
        changes.setdefault("spool", {})["folder"] = str(folder)
    said = policy.mobile.to_dict()
    for name, values in changes.items():
        said[name] = {**said[name], **values}
    said["projects"] = {"app": app.to_dict()}
    return policy.replace(mobile=convert(MobilePolicy, said))


def envelope(
    *items: tuple[str, Any], header: Mapping[str, Any] | None = None, event_id: str = "a" * 32
) -> bytes:
    """Return an envelope as an SDK writes it.

    Args:
        items: Types and payloads: bytes, or what becomes JSON.
        header: More of the envelope's header.
        event_id: Its id; empty: none.
    """
    head = {
        **({"event_id": event_id} if event_id else {}),
        "dsn": f"https://{KEY}@gateway.example/42",
        **(header or {}),
    }
    parts = [json.dumps(head).encode()]
    for kind, value in items:
        payload = value if isinstance(value, bytes) else json.dumps(value).encode()
        parts += [json.dumps({"type": kind, "length": len(payload)}).encode(), payload]
    return b"\n".join(parts)


def intake(body: bytes, encoding: str = "", **more: Any) -> Intake:
    """Return an authenticated request."""
    return Intake("app", body, encoding, **more)


def transaction(
    op: str = "screen.render", name: str = "Screen: HomeScreen", ms: float = 100, **more: Any
) -> dict[str, Any]:
    """Return a transaction of an app."""
    return {
        "event_id": "b" * 32,
        "type": "transaction",
        "transaction": name,
        "start_timestamp": 1_700_000_000.0,
        "timestamp": 1_700_000_000.0 + ms / 1000,
        "contexts": {"trace": {"trace_id": "c" * 32, "span_id": "d" * 16, "op": op, "status": "ok"}},
        **more,
    }


def first_item(name: str) -> dict[str, Any]:
    """Return the JSON payload of the first item of a recorded envelope."""
    value: dict[str, Any] = json.loads(
        bytes(parse_envelope(recorded(name), EnvelopeBounds(16_384, 100)).items[0].payload)
    )
    return value


def policy_with_limits(max_names: int = 100, **limits: Any) -> Policy:
    """Return the default policy with other limits of `thresholds.mobile`."""
    policy = default_policy()
    mobile = policy.thresholds.mobile.replace(**limits)
    measure = policy.mobile.measure.replace(max_names=max_names)
    return policy.replace(
        thresholds=policy.thresholds.replace(mobile=mobile), mobile=policy.mobile.replace(measure=measure)
    )
