"""The parts of a link to Sentry that the protocols use, with a real transport to a receiver."""

from __future__ import annotations

from typing import Any

from sentry_sdk.envelope import Envelope

from e2e.receiver import Receiver
from mita_otel.policy import default_policy
from mita_otel.processors.queues.losses import Losses
from mita_otel.sentry.transport.sender_identity import Identity
from mita_otel.sentry.transport.transport import SentryTransport


class Hook:
    def redacted_breadcrumbs(self, trace_id: int) -> list[Any]:
        return []

    def redacted_content(self, root: Any) -> dict[str, Any]:
        return {}


class Contexts:
    def of(self, trace_id: int, **more: Any) -> dict[str, str]:
        return {"trace_id": f"{trace_id:032x}", "public_key": "publickey"}


class WireLink:
    """The parts of a link that the protocols use, with a real transport."""

    def __init__(self, receiver: Receiver) -> None:
        self.losses = Losses(cool_down_s=3600)
        self.policy = default_policy().sentry
        self.client: Any = self
        self.options: dict[str, Any] = {}
        self.transport = SentryTransport({"dsn": receiver.dsn}, self.policy, self.losses)
        receiver.on_close.append(self.transport.kill)
        self.joined = False
        self.identity = Identity("production", "bank@1.0")
        self.hook, self.contexts, self.service_clients = Hook(), Contexts(), None

    def own_transport(self) -> SentryTransport:
        return self.transport

    def send(self, envelope: Envelope) -> None:
        self.transport.capture_envelope(envelope)
