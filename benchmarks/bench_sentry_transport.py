"""CPU of one envelope, from queueing to the response, for sentry-sdk's transport and for ours.

An envelope holds a transaction with eight spans, compressed at the same level. Each round runs in a process of its own, and
rounds are interleaved: quote the ratio, not the microseconds.
"""

from __future__ import annotations

import json
import multiprocessing
import statistics
import time
from typing import Any

from sentry_sdk.client import get_options
from sentry_sdk.envelope import Envelope, Item, PayloadRef
from sentry_sdk.transport import HttpTransport, Transport
from sink import serve

from mita_otel.policy import default_policy
from mita_otel.processors.queues.losses import Losses
from mita_otel.sentry.transport.envelope_items import SpansItem
from mita_otel.sentry.transport.transport import SentryTransport

ROUNDS, ENVELOPES = 9, 500
SPANS = [
    {
        "span_id": f"{number:016x}",
        "trace_id": "b" * 32,
        "op": "db",
        "description": "SELECT accounts.id, accounts.owner FROM accounts WHERE accounts.id = ?",
        "start_timestamp": 1.7e9 + number * 1.37,
        "timestamp": 1.7e9 + number * 1.5,
        "status": "ok",
        "data": {"db.system": "postgresql", "db.operation": "SELECT"},
    }
    for number in range(8)
]
PAYLOAD = json.dumps({"type": "transaction", "transaction": "GET /items/{id}", "spans": SPANS}).encode()
HEADERS = {"event_id": "a" * 32, "trace": {"trace_id": "b" * 32, "public_key": "key"}}


def sentry_sdk_transport(dsn: str) -> Transport:
    """Return the transport that sentry-sdk uses by default."""
    compression = {"transport_compression_level": 1, "transport_compression_algo": "gzip"}
    return HttpTransport(get_options(dsn=dsn, transport_queue_size=10 * ENVELOPES, _experiments=compression))


def our_transport(dsn: str) -> Transport:
    """Return the transport that mita-otel uses."""
    policy = default_policy().sentry.replace(max_envelopes=10 * ENVELOPES, compression_level=1)
    return SentryTransport({"dsn": dsn}, policy, Losses(cool_down_s=3600))


TRANSPORTS = {"sentry-sdk": sentry_sdk_transport, "mita-otel": our_transport}


def send(transport: Transport, count: int, *, ours: bool) -> None:
    """Queue envelopes and wait until they have been sent."""
    for _ in range(count):
        item = (
            SpansItem(PAYLOAD, type="transaction", spans=9)
            if ours
            else Item(PayloadRef(bytes=PAYLOAD), type="transaction")
        )
        transport.capture_envelope(Envelope(dict(HEADERS), [item]))
    transport.flush(600)


def round_of(name: str, port: int, results: Any) -> None:
    """Put the CPU microseconds of an envelope into a queue."""
    transport = TRANSPORTS[name](f"http://key@127.0.0.1:{port}/1")
    send(transport, 50, ours=name == "mita-otel")
    started = time.process_time()
    send(transport, ENVELOPES, ours=name == "mita-otel")
    results.put((time.process_time() - started) / ENVELOPES * 1e6)


def main() -> None:
    """Measure, and print microseconds and ratios."""
    spawned = multiprocessing.get_context("spawn")
    ports, results = spawned.Queue(), spawned.Queue()
    server = spawned.Process(target=serve, args=(ports,), daemon=True)
    server.start()
    port = ports.get()
    spent: dict[str, list[float]] = {name: [] for name in TRANSPORTS}
    try:
        for _ in range(ROUNDS):
            for name, values in spent.items():
                process = spawned.Process(target=round_of, args=(name, port, results))
                process.start()
                values.append(results.get())
                process.join()
    finally:
        server.terminate()
    base = statistics.median(spent["sentry-sdk"])
    for name, values in spent.items():
        median = statistics.median(values)
        print(f"{name:12} {median:7.0f} µs CPU  {median / base:5.2f}")


if __name__ == "__main__":
    main()
