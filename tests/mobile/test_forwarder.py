"""Spooled records reach the upstream when it accepts them; an unavailable upstream loses no record."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from e2e.receiver import Receiver
from mita_otel.mobile.destinations import Delivery, SentryDestination, SpoolRecord
from mita_otel.mobile.envelope import Item, write_items
from mita_otel.mobile.forwarder import Forwarder
from mita_otel.mobile.rate_limits import ForwardedRateLimits
from mita_otel.mobile.spool import Spool
from mita_otel.mobile.upstream import Upstream
from mita_otel.policy import default_policy
from mita_otel.policy.mobile import Priority


def items_with(message: str) -> bytes:
    event = {"event_id": "a" * 32, "message": message}
    return write_items([Item({"type": "event"}, json.dumps(event).encode())])


ITEMS = items_with("hello")


class Way:
    """A spool, a forwarder and a destination."""

    def __init__(self, folder: Path, dsn: str, **forward: Any) -> None:
        policy = default_policy().mobile
        settings = {"retry_first_s": 0.05, "retry_max_s": 0.2, "timeout_s": 5, "senders": 2, **forward}
        self.lost: list[tuple[str, Priority]] = []
        self.limits = ForwardedRateLimits()
        self.spool = Spool(policy.spool, folder / "spool", lambda *what: self.lost.append(what))
        patience = policy.forward.replace(**settings)
        upstream = Upstream(dsn, timeout_s=patience.timeout_s, connections=2, env={})
        self.destination = SentryDestination(upstream, self.limits, compression_level=1)
        self.forwarder = Forwarder(
            patience, self.spool, {("sentry", "app"): self.destination}, lambda *what: self.lost.append(what)
        )

    def put(self, priority: Priority = "error", payload: bytes = ITEMS, **more: Any) -> None:
        said = {"received_s": time.time(), "header": {"event_id": "a" * 32}, **more}
        self.spool.put(SpoolRecord("sentry", "app", priority, ("error",), **said), payload)
        self.forwarder.wake()

    @property
    def waiting(self) -> int:
        return self.spool.counts()[0]


@pytest.fixture
def way(tmp_path: Path, receiver: Receiver) -> Iterator[Way]:
    one = Way(tmp_path, receiver.dsn)
    yield one
    one.forwarder.stop(0)


def test_an_envelope_arrives_with_sentrys_headers(way: Way, receiver: Receiver) -> None:
    way.put()
    receiver.wait_for(lambda server: server.events)
    [request] = receiver.requests
    headers = {name.lower(): value for name, value in request.headers.items()}
    assert request.path == "/api/1/envelope/"
    assert headers["content-type"] == "application/x-sentry-envelope"
    assert headers["content-encoding"] == "gzip"
    assert "sentry_key=publickey" in headers["x-sentry-auth"]
    assert headers["user-agent"].startswith("mita-otel-mobile/")
    assert request.header == {"event_id": "a" * 32}
    assert receiver.events == [{"event_id": "a" * 32, "message": "hello"}]
    assert way.forwarder.flush(60)
    assert (way.waiting, way.lost, way.forwarder.delivered) == (0, [], 1)


def test_a_dsn_may_have_a_prefix_and_a_port(tmp_path: Path, receiver: Receiver) -> None:
    way = Way(tmp_path, receiver.dsn.replace("/1", "/relay/7"))
    way.put()
    receiver.wait_for(lambda server: server.bad)
    assert receiver.bad[0].startswith("/relay/api/7/envelope/: ")
    way.forwarder.stop(1)


@pytest.mark.parametrize("behaviour", [500, 502, 503, 401, 403, 404, "reset", "cut"])
def test_refused_records_wait_and_are_sent_when_the_server_accepts_them(
    way: Way, receiver: Receiver, behaviour: Any
) -> None:
    receiver.behaviour = behaviour
    for number in range(3):
        way.put(payload=items_with(f"hello {number}"))
    receiver.wait_for(lambda server: server.refused >= 2)
    assert way.waiting == 3
    receiver.behaviour = "ok"
    receiver.wait_for(lambda server: len(server.requests) >= 3)
    assert way.forwarder.flush(60)
    assert (way.waiting, way.lost) == (0, [])


def test_an_unavailable_server_is_retried_by_one_thread_at_a_time(way: Way, receiver: Receiver) -> None:
    receiver.behaviour = 503
    for _ in range(20):
        way.put()
    receiver.wait_for(lambda server: server.refused >= 3)
    # Two threads may send before the first response; then one at a time retries, at growing intervals.
    assert receiver.refused <= 6
    assert way.forwarder.status() == {"sentry/app": "unavailable"}
    receiver.behaviour = "ok"
    receiver.wait_for(lambda server: len(server.requests) >= 20)
    assert way.forwarder.status() == {"sentry/app": "ok"}


def test_idle_senders_do_not_poll_the_spool(tmp_path: Path, receiver: Receiver) -> None:
    way = Way(tmp_path, receiver.dsn, senders=4)
    way.put()
    receiver.wait_for(lambda server: server.events)
    assert way.forwarder.flush(60)
    looks = 0
    take = way.spool.take

    def counted(may_go: Callable[[SpoolRecord], bool]) -> Any:
        nonlocal looks
        looks += 1
        return take(may_go)

    way.spool.take = counted  # type: ignore[method-assign]
    time.sleep(0.3)
    assert looks <= 4
    way.forwarder.stop(1)


def test_simultaneous_failures_count_as_one(tmp_path: Path) -> None:
    together = threading.Barrier(3)

    class Failing:
        def may_have(self, record: SpoolRecord) -> bool:
            return True

        def deliver(self, record: SpoolRecord, payload: bytes) -> Delivery:
            together.wait(60)
            return Delivery("unavailable", "status_503")

        def close(self) -> None:
            pass

    way = Way(tmp_path, "http://publickey@127.0.0.1:9/1")
    policy = default_policy().mobile.forward.replace(senders=3, retry_first_s=1)
    forwarder = Forwarder(
        policy, way.spool, {("sentry", "app"): Failing()}, lambda *_: None, clock=lambda: 100.0
    )
    for _ in range(3):
        way.spool.put(SpoolRecord("sentry", "app", "error"), ITEMS)
        forwarder.wake()
    assert forwarder.flush(60)
    [backoff] = forwarder._backoffs.values()
    assert (backoff.failures, backoff.until) == (1, pytest.approx(101, abs=0.3))
    forwarder.stop(1)


def test_records_for_an_unreachable_server_wait(tmp_path: Path) -> None:
    way = Way(tmp_path, "http://publickey@127.0.0.1:9/1")
    way.put()
    assert not way.forwarder.flush(0.5) or way.waiting == 1
    assert way.waiting == 1
    assert way.lost == []
    way.forwarder.stop(0)


def test_a_hanging_server_times_out_and_loses_no_record(tmp_path: Path, receiver: Receiver) -> None:
    way = Way(tmp_path, receiver.dsn, timeout_s=0.2)
    receiver.behaviour = "hang"
    way.put()
    deadline = time.monotonic() + 60
    while way.forwarder.status()["sentry/app"] == "ok" and time.monotonic() < deadline:
        threading.Event().wait(0.02)
    receiver.behaviour = "ok"
    receiver.wait_for(lambda server: server.events)
    assert way.forwarder.flush(60)
    assert (way.waiting, way.lost) == (0, [])
    way.forwarder.stop(0)


@pytest.mark.parametrize("status", [400, 413, 422])
def test_permanently_rejected_records_are_dropped_and_counted(
    way: Way, receiver: Receiver, status: int
) -> None:
    receiver.behaviour = status
    way.put()
    receiver.wait_for(lambda server: server.refused)
    assert way.forwarder.flush(60)
    assert way.waiting == 0
    assert way.lost == [(f"rejected_status_{status}", "error")]


def test_rate_limited_categories_wait_and_others_are_sent(way: Way, receiver: Receiver) -> None:
    receiver.behaviour = 429
    receiver.answer_headers = {"X-Sentry-Rate-Limits": "60:error:organization"}
    way.put()
    receiver.wait_for(lambda server: server.refused)
    receiver.behaviour, receiver.answer_headers = "ok", {}
    assert way.forwarder.flush(60)
    assert way.limits.is_limited(["error"])
    assert not way.limits.is_limited(["session"])
    way.spool.put(SpoolRecord("sentry", "app", "health", ("session",)), items_with("world"))
    way.forwarder.wake()
    receiver.wait_for(lambda server: [one["message"] for one in server.events] == ["world"])
    assert way.forwarder.flush(60)
    assert way.waiting == 1
    assert way.lost == []


def test_a_429_for_another_category_makes_the_record_wait(way: Way, receiver: Receiver) -> None:
    receiver.behaviour = 429
    receiver.answer_headers = {"X-Sentry-Rate-Limits": "60:transaction:organization"}
    way.put()
    receiver.wait_for(lambda server: server.refused)
    deadline = time.monotonic() + 60
    while way.forwarder.status()["sentry/app"] == "ok" and time.monotonic() < deadline:
        threading.Event().wait(0.02)
    assert way.forwarder.status() == {"sentry/app": "unavailable"}
    receiver.behaviour, receiver.answer_headers = "ok", {}
    receiver.wait_for(lambda server: server.events)


def test_rate_limits_in_a_200_apply(way: Way, receiver: Receiver) -> None:
    receiver.answer_headers = {"X-Sentry-Rate-Limits": "60:transaction;span:organization"}
    way.put()
    receiver.wait_for(lambda server: server.events)
    assert way.forwarder.flush(60)
    assert way.limits.is_limited(["span"])


def test_a_redirect_is_not_followed(way: Way, receiver: Receiver) -> None:
    receiver.behaviour = 307
    receiver.answer_headers = {"Location": "http://127.0.0.1:9/evil"}
    way.put()
    receiver.wait_for(lambda server: server.refused)
    receiver.behaviour, receiver.answer_headers = "ok", {}
    receiver.wait_for(lambda server: server.events)
    assert way.lost == []


def test_a_record_that_cannot_be_sent_does_not_delay_others(way: Way, receiver: Receiver) -> None:
    real = way.destination.deliver

    def deliver(record: SpoolRecord, payload: bytes) -> Delivery:
        if payload == b"poison":
            raise ZeroDivisionError
        return real(record, payload)

    way.destination.deliver = deliver  # type: ignore[method-assign]
    way.put(payload=b"poison")
    way.put()
    receiver.wait_for(lambda server: server.events)
    assert way.waiting >= 1


def test_a_damaged_file_is_dropped_and_counted(way: Way, receiver: Receiver, tmp_path: Path) -> None:
    way.spool.put(SpoolRecord("sentry", "app", "error", ("error",)), ITEMS)
    for path in (tmp_path / "spool").rglob("*.record"):
        path.write_bytes(b"x")
    way.forwarder.wake()
    assert way.forwarder.flush(60)
    assert way.lost == [("damaged", "error")]
    assert receiver.requests == []


def test_records_stay_on_disk_after_a_stop(tmp_path: Path, receiver: Receiver) -> None:
    receiver.behaviour = 503
    way = Way(tmp_path, receiver.dsn)
    way.put()
    receiver.wait_for(lambda server: server.refused)
    way.forwarder.stop(0.1)
    way.spool.close()
    receiver.behaviour = "ok"
    other = Way(tmp_path, receiver.dsn)
    assert other.spool.adopt() == 1
    other.forwarder.wake()
    receiver.wait_for(lambda server: server.events)
    other.forwarder.stop(1)


def test_sent_at_keeps_the_apps_clock_drift_without_the_waiting_time(way: Way, receiver: Receiver) -> None:
    """The app's clock is an hour slow, and its envelope waited ten minutes here."""
    now = time.time()
    slow = datetime.fromtimestamp(now - 600 - 3600, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    way.put(received_s=now - 600, header={"sent_at": slow})
    receiver.wait_for(lambda server: server.events)
    sent_at = datetime.fromisoformat(str(receiver.requests[0].header["sent_at"])).timestamp()
    assert now - sent_at == pytest.approx(3600, abs=5)
