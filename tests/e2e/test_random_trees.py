"""Random span trees, ended in any order by several threads, arrive completely, once, and correctly nested."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from e2e.receiver import Receiver
from e2e.script import run_script
from e2e.transactions import trace_of

pytestmark = pytest.mark.e2e

_SCRIPT = """
import os, random, threading
import mita_otel
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags, set_span_in_context

telemetry = mita_otel.configure()
tracer = trace.get_tracer("forest")
chance = random.Random(int(os.environ["SEED"]))
KINDS = [SpanKind.INTERNAL] * 6 + [SpanKind.CLIENT, SpanKind.PRODUCER, SpanKind.SERVER, SpanKind.CONSUMER]
spans, parents = [], {}

for _ in range(60):
    tree = []
    for _ in range(chance.choice([1, 2, 5, 20, 60])):
        parent = chance.choice(tree) if tree else None
        context = set_span_in_context(parent) if parent else trace.set_span_in_context(trace.INVALID_SPAN)
        if parent is None and chance.random() < 0.3:
            far = SpanContext(chance.getrandbits(128) | 1, chance.getrandbits(64) | 1, True, TraceFlags(1))
            context = set_span_in_context(NonRecordingSpan(far))
        span = tracer.start_span("step", context, kind=chance.choice(KINDS))
        said = span.get_span_context()
        parents[f"{said.span_id:016x}"] = [
            f"{said.trace_id:032x}", f"{span.parent.span_id:016x}" if span.parent else None
        ]
        tree.append(span)
    spans += tree

chance.shuffle(spans)
ready = threading.Barrier(6)
def end(part):
    ready.wait()
    for number, span in enumerate(part):
        span.end()
        if number % 50 == 25:
            telemetry.flush()  # exports the spans that ended: later children are late
threads = [threading.Thread(target=end, args=(spans[k::6],)) for k in range(6)]
for thread in threads: thread.start()
for thread in threads: thread.join()
telemetry.shutdown()
answer({"parents": parents, "losses": telemetry.losses()})
"""


def _of_transactions(receiver: Receiver) -> list[dict[str, Any]]:
    """Return every span; each is in the tree of its transaction."""
    found: list[dict[str, Any]] = []
    for transaction in receiver.transactions:
        root = trace_of(transaction)
        inside = {root["span_id"], *(span["span_id"] for span in transaction["spans"])}
        assert all(span["parent_span_id"] in inside for span in transaction["spans"])
        assert all(span["trace_id"] == root["trace_id"] for span in transaction["spans"])
        found += [root, *transaction["spans"]]
    return found


def _of_segments(receiver: Receiver) -> list[dict[str, Any]]:
    spans = receiver.streamed_spans
    segments = {span["span_id"] for span in spans if span["is_segment"]}
    assert {span["attributes"]["sentry.segment.id"]["value"] for span in spans} == segments
    return spans


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("protocol", ["transactions", "spans"])
def test_every_span_arrives_once_below_its_parent(
    receiver: Receiver, tmp_path: Path, protocol: str, seed: int
) -> None:
    env = {"SENTRY_DSN": receiver.dsn, "MITA_OTEL_SENTRY__PROTOCOL": protocol, "SEED": str(seed)}
    answer = run_script(_SCRIPT, tmp_path, env).answer
    found = _of_transactions(receiver) if protocol == "transactions" else _of_segments(receiver)
    assert Counter(one["span_id"] for one in found) == Counter(list(answer["parents"]))
    for one in found:
        assert [one["trace_id"], one.get("parent_span_id")] == answer["parents"][one["span_id"]]
    assert not any(answer["losses"].values())
