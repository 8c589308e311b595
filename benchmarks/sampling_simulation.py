"""Simulated traffic through the real limits and the real tail sampler, on a simulated clock.

The traffic knows which of its traces are slow or failed; what comes out is compared with that. Used by the tests
and by the picture in the documentation.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanProcessor
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from mita_otel import semconv
from mita_otel.policy import default_policy
from mita_otel.policy.sampling import SamplingPolicy
from mita_otel.processors.tail_sampling import TailSampler
from mita_otel.processors.threshold import ThresholdProcessor

Truth = Literal["healthy", "slow", "failed"]

START_S = 1_800_000_000
REQUEST: dict[str, str | int] = {
    "http.request.method": "GET",
    "http.route": "/api/accounts/{account_id}",
    "url.path": "/api/accounts/1",
    "url.scheme": "https",
    "http.response.status_code": 200,
}
QUERY: dict[str, str | int] = {
    "db.system.name": "postgresql",
    "db.query.text": "SELECT id, balance FROM accounts WHERE id = %(id_1)s",
    "db.operation.name": "SELECT",
    "db.collection.name": "accounts",
}
_RESOURCE = Resource.get_empty()
BACKGROUND = {"mita.operation": "send_receipt", "mita.operation.kind": "background"}


@dataclass(order=True, frozen=True, slots=True)
class Ended:
    """A span that ends at a time."""

    at_s: float
    number: int
    span: ReadableSpan = field(compare=False)
    flawed: bool = field(compare=False)


class Traffic:
    """Requests with queries, some with a background task after the answer.

    Args:
        traces: How many.
        per_second: How many begin in a second, on average.
        slow: The share of slow ones: a request, a query, or a background task takes longer than its limit.
        failed: The share of failed ones: a server error, an exception in a child, or a failed background task.
        seed: Of the random numbers.
    """

    def __init__(self, traces: int, per_second: float, slow: float, failed: float, seed: int) -> None:
        self.truth: dict[int, Truth] = {}
        self.sizes: Counter[int] = Counter()
        """Spans by trace."""
        self._traces = traces
        self._per_second = per_second
        self._shares = (slow, failed)
        self._chance = random.Random(seed)
        self._number = 0

    def spans(self) -> Iterator[Ended]:
        """Yield the spans of all traces in the order in which they end."""
        waiting: list[Ended] = []
        begins_s = 0.0
        for _ in range(self._traces):
            begins_s += self._chance.expovariate(self._per_second)
            for ended in self._trace(begins_s):
                heapq.heappush(waiting, ended)
            while waiting and waiting[0].at_s <= begins_s:
                yield heapq.heappop(waiting)
        while waiting:
            yield heapq.heappop(waiting)

    def _trace(self, begins_s: float) -> Iterator[Ended]:
        chance, trace_id = self._chance, self._chance.getrandbits(128)
        slow, failed = self._shares
        drawn = chance.random()
        truth: Truth = "slow" if drawn < slow else "failed" if drawn < slow + failed else "healthy"
        where = chance.choice(("request", "child", "background")) if truth != "healthy" else ""
        self.truth[trace_id] = truth
        root_id = chance.getrandbits(64)
        now_s = begins_s + chance.uniform(0.0005, 0.003)
        queries = chance.randint(1, 3)
        for query in range(queries):
            took_s = min(0.1, chance.lognormvariate(-5.5, 0.8))
            is_last = query == queries - 1
            if truth == "slow" and where == "child" and is_last:
                took_s = chance.uniform(0.21, 0.28)
            fails = truth == "failed" and where == "child" and is_last
            yield self._span(
                trace_id,
                root_id,
                "SELECT accounts",
                SpanKind.CLIENT,
                QUERY,
                now_s,
                now_s + took_s,
                fails,
                flawed=fails or took_s > 0.2,
            )
            now_s += took_s + 0.0005
        if truth == "slow" and where == "request":
            now_s = begins_s + chance.uniform(0.51, 3.0)
        fails = truth == "failed" and where == "request"
        yield self._span(
            trace_id,
            None,
            "GET /api/accounts/{account_id}",
            SpanKind.SERVER,
            REQUEST,
            begins_s,
            now_s,
            fails,
            flawed=fails or now_s - begins_s > 0.5,
            span_id=root_id,
        )
        if where == "background" or chance.random() < 0.05:
            took_s = (
                chance.uniform(5.1, 8.0)
                if truth == "slow" and where == "background"
                else chance.uniform(0.01, 0.5)
            )
            fails = truth == "failed" and where == "background"
            yield self._span(
                trace_id,
                root_id,
                "send receipt",
                SpanKind.INTERNAL,
                BACKGROUND,
                now_s,
                now_s + took_s,
                fails,
                flawed=fails or took_s > 5,
            )

    def _span(
        self,
        trace_id: int,
        parent_id: int | None,
        name: str,
        kind: SpanKind,
        attributes: Mapping[str, str | int],
        begins_s: float,
        ends_s: float,
        fails: bool,
        *,
        flawed: bool,
        span_id: int | None = None,
    ) -> Ended:
        sampled = TraceFlags(TraceFlags.SAMPLED)
        start_ns = START_S * 10**9 + int(begins_s * 1e9)
        end_ns = start_ns + int((ends_s - begins_s) * 1e9)
        server_error = fails and kind is SpanKind.SERVER
        span = ReadableSpan(
            name,
            context=SpanContext(trace_id, span_id or self._chance.getrandbits(64), False, sampled),
            parent=SpanContext(trace_id, parent_id, False, sampled) if parent_id is not None else None,
            attributes={**attributes, "http.response.status_code": 500} if server_error else attributes,
            events=(Event(semconv.EXCEPTION_EVENT, {}, end_ns),) if fails and not server_error else (),
            status=Status(StatusCode.ERROR) if fails and kind is SpanKind.INTERNAL else Status(),
            kind=kind,
            resource=_RESOURCE,  # without one, each span would look for what the machine is
            start_time=start_ns,
            end_time=end_ns,
        )
        self.sizes[trace_id] += 1
        self._number += 1
        return Ended(ends_s, self._number, span, flawed)


@dataclass(slots=True)
class Second:
    """What was so in one simulated second."""

    spans: int = 0
    """Spans that ended."""
    kept: int = 0
    """Spans that were passed on."""
    held_spans: int = 0
    held_bytes: int = 0


@dataclass
class Outcome:
    """What came out, beside what was true."""

    traffic: Traffic
    sampler: TailSampler
    spans: Counter[int] = field(default_factory=Counter)
    """Spans that were passed on, by trace."""
    reasons: Counter[str] = field(default_factory=Counter)
    """Traces that were passed on, by the reason on their root."""
    flawed: int = 0
    """Spans that were slow or failed."""
    flawed_kept: int = 0
    most_spans: int = 0
    most_bytes: int = 0
    most_traces: int = 0
    seconds: dict[int, Second] = field(default_factory=dict)

    def traces(self, truth: Truth) -> list[int]:
        """Return the traces that are truly so."""
        return [trace_id for trace_id, one in self.traffic.truth.items() if one == truth]

    def kept(self, truth: Truth) -> int:
        """Return how many of those were passed on, at least in part."""
        return sum(trace_id in self.spans for trace_id in self.traces(truth))

    def complete(self, truth: Truth) -> int:
        """Return how many of those were passed on with every span."""
        return sum(self.spans[trace_id] == self.traffic.sizes[trace_id] for trace_id in self.traces(truth))


class _Collector(SpanProcessor):
    """Counts what the sampler passes on."""

    def __init__(self) -> None:
        self.outcome: Outcome | None = None
        self.span_ids: set[int] = set()

    def on_end(self, span: ReadableSpan) -> None:
        if self.outcome is None or span.context is None:
            return
        self.span_ids.add(span.context.span_id)
        self.outcome.spans[span.context.trace_id] += 1
        if span.parent is None:
            self.outcome.reasons[str((span.attributes or {})[semconv.SAMPLING_REASON])] += 1


def simulate(traffic: Traffic, policy: SamplingPolicy | None = None) -> Outcome:
    """Send the traffic through limits and sampler, and return what came out."""
    production = default_policy()
    now_s = [0.0]
    collector = _Collector()
    sampler = TailSampler(policy or production.sampling, collector, clock=lambda: now_s[0])
    meter = MeterProvider(shutdown_on_exit=False).get_meter("simulation")
    chain = ThresholdProcessor(production.thresholds, sampler, meter=meter, clock=lambda: now_s[0])
    outcome = collector.outcome = Outcome(traffic, sampler)
    flawed_ids: list[int] = []
    held = sampler.held
    for ended in traffic.spans():
        now_s[0] = ended.at_s
        second = outcome.seconds.setdefault(int(ended.at_s), Second())
        before = held.spans[True]
        chain.on_end(ended.span)
        second.kept += held.spans[True] - before
        second.spans += 1
        second.held_spans = max(second.held_spans, held.held_spans)
        second.held_bytes = max(second.held_bytes, held.held_bytes)
        outcome.most_traces = max(outcome.most_traces, held.held_traces)
        if ended.flawed and ended.span.context is not None:
            flawed_ids.append(ended.span.context.span_id)
    chain.shutdown()
    outcome.most_spans = max(one.held_spans for one in outcome.seconds.values())
    outcome.most_bytes = max(one.held_bytes for one in outcome.seconds.values())
    outcome.flawed = len(flawed_ids)
    outcome.flawed_kept = len(collector.span_ids.intersection(flawed_ids))
    return outcome
