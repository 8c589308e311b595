"""Sentry's headers are continued and propagated, beside those of OpenTelemetry."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import baggage, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from leaks import shows
from mita_otel import semconv
from mita_otel.policy import default_policy
from mita_otel.processors.samplers import choose_sampler
from mita_otel.redaction import Redactor
from mita_otel.sentry.active_roots import ActiveRoots
from mita_otel.sentry.propagation import SentryPropagator
from mita_otel.sentry.sampling_context import SamplingContexts, sample_rand

from .spans import make, server

TRACE, SPAN = "771a43a4192642f0b136d5159a501700", "b7ad6b7169203331"
OTHER = "0af7651916cd43dd8448eb211c80319c"
REDACTOR = Redactor()
BASE = {"public_key": "key", "environment": "production", "release": "bank@1.0", "org_id": "7"}


class Wire:
    """A propagator as a service uses it."""

    def __init__(self, *, decided: bool = True, base: dict[str, str] | None = None, **policy: Any) -> None:
        self.roots = ActiveRoots(10, 10)
        self.contexts = SamplingContexts(BASE if base is None else base, self.roots, 10, REDACTOR.text)
        self.propagator = SentryPropagator(
            default_policy().sentry.propagation.replace(**policy),
            CompositePropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator()]),
            self.contexts,
            decided=lambda: decided,
        )

    def extract(self, **headers: str) -> tuple[SpanContext, Context]:
        carrier = {name.replace("_", "-"): value for name, value in headers.items()}
        context = self.propagator.extract(carrier, Context())
        return trace.get_current_span(context).get_span_context(), context

    def inject(self, context: Context) -> dict[str, str]:
        carrier: dict[str, str] = {}
        self.propagator.inject(carrier, context)
        return carrier


def inside(
    trace_id: int = int(TRACE, 16), *, sampled: bool = True, context: Context | None = None
) -> Context:
    ids = SpanContext(trace_id, int(SPAN, 16), False, TraceFlags(int(sampled)))
    return trace.set_span_in_context(NonRecordingSpan(ids), context or Context())


def members(header: str) -> dict[str, str]:
    return dict(one.split("=", 1) for one in header.split(",")) if header else {}


@pytest.mark.parametrize(("flag", "sampled"), [("-1", True), ("-0", False), ("", True)])
def test_the_sentry_trace_header_is_continued(flag: str, sampled: bool) -> None:
    ids, _ = Wire().extract(sentry_trace=f"{TRACE}-{SPAN}{flag}")
    assert (f"{ids.trace_id:032x}", f"{ids.span_id:016x}") == (TRACE, SPAN)
    assert ids.is_remote
    assert ids.trace_flags.sampled is sampled


@pytest.mark.parametrize(("flag", "sampled"), [("-1", True), ("-0", False), ("", False)])
def test_a_deferred_sampling_decision_is_made_by_the_policys_rate(flag: str, sampled: bool) -> None:
    policy = default_policy().sampling.replace(mode="head", ratio=0.0)
    sampler = choose_sampler(policy, None).sampler
    _, context = Wire().extract(sentry_trace=f"{TRACE}-{SPAN}{flag}")
    root = TracerProvider(sampler=sampler).get_tracer("test").start_span("request", context)
    assert root.get_span_context().trace_flags.sampled is sampled
    child = (
        TracerProvider(sampler=sampler)
        .get_tracer("test")
        .start_span("query", trace.set_span_in_context(root, context))
    )
    assert child.get_span_context().trace_flags.sampled is sampled


def test_kept_traces_with_a_deferred_decision_record_the_rate() -> None:
    policy = default_policy().sampling.replace(mode="head", ratio=1.0)
    tracer = TracerProvider(sampler=choose_sampler(policy, None).sampler).get_tracer("test")
    _, context = Wire().extract(sentry_trace=f"{TRACE}-{SPAN}")
    span = tracer.start_span("request", context)
    assert getattr(span, "attributes", {})[semconv.SAMPLING_RATE] == 1.0


def test_traceparent_alone_is_continued() -> None:
    ids, _ = Wire().extract(traceparent=f"00-{OTHER}-{SPAN}-01")
    assert f"{ids.trace_id:032x}" == OTHER


def test_traceparent_gives_the_parent_if_both_headers_are_of_one_trace() -> None:
    nearer = "00f067aa0ba902b7"
    ids, _ = Wire().extract(traceparent=f"00-{TRACE}-{nearer}-01", sentry_trace=f"{TRACE}-{SPAN}-1")
    assert f"{ids.span_id:016x}" == nearer


@pytest.mark.parametrize(("prefer", "expected"), [("traceparent", OTHER), ("sentry-trace", TRACE)])
def test_the_policy_selects_one_of_two_traces(prefer: str, expected: str) -> None:
    ids, _ = Wire(prefer=prefer).extract(
        traceparent=f"00-{OTHER}-{SPAN}-01", sentry_trace=f"{TRACE}-{SPAN}-1"
    )
    assert f"{ids.trace_id:032x}" == expected


@pytest.mark.parametrize(
    "header",
    [
        f"{TRACE}-{SPAN}-1,{TRACE}-{SPAN}-1",
        f"{TRACE}-{SPAN}-1 , {TRACE}-{SPAN}-1",
        f"garbage,{TRACE}-{SPAN}-1",
        f"{'0' * 32}-{SPAN}-1,{TRACE}-{SPAN}-1",
    ],
)
def test_the_first_valid_of_joined_headers_is_continued(header: str) -> None:
    ids, _ = Wire().extract(sentry_trace=header)
    assert (f"{ids.trace_id:032x}", f"{ids.span_id:016x}") == (TRACE, SPAN)


BAD = [
    "", "x", f"{TRACE}", f"{TRACE}-{SPAN}-2", f"{TRACE}-{SPAN}-1-1", f"{TRACE[:-1]}-{SPAN}-1", f"{'0' * 32}-{SPAN}-1",
    f"{TRACE}-{'0' * 16}-1", f"{TRACE}_{SPAN}", "\x00" * 50, "9" * 100_000,
]  # fmt: skip


@pytest.mark.parametrize("header", BAD)
def test_an_invalid_header_is_ignored(header: str) -> None:
    ids, _ = Wire().extract(sentry_trace=header)
    assert not ids.is_valid
    ids, _ = Wire().extract(sentry_trace=header, traceparent=f"00-{OTHER}-{SPAN}-01")
    assert f"{ids.trace_id:032x}" == OTHER


def test_an_incoming_sampling_context_is_propagated_unchanged() -> None:
    wire = Wire()
    incoming = (
        f"sentry-trace_id={TRACE},sentry-public_key=theirs,sentry-release=app%401.0%2C2,sentry-sample_rate=0.25,"
        "sentry-sampled=true,sentry-sample_rand=0.1,tenant=gold,sentry-future-item=x"
    )
    _, context = wire.extract(sentry_trace=f"{TRACE}-{SPAN}-1", baggage=incoming)
    assert baggage.get_all(context) == {"tenant": "gold"}, "Sentry's part is kept apart"
    out = wire.inject(inside(context=context))
    assert out["sentry-trace"] == f"{TRACE}-{SPAN}-1"
    assert out["traceparent"] == f"00-{TRACE}-{SPAN}-01"
    assert members(out["baggage"]) == members(incoming)


def test_a_secret_in_an_incoming_sampling_context_is_redacted() -> None:
    wire = Wire()
    incoming = f"sentry-trace_id={TRACE},sentry-public_key=theirs,sentry-transaction=GET%20%2Fcards%2F4111111111111111"
    ids, context = wire.extract(sentry_trace=f"{TRACE}-{SPAN}-1", baggage=incoming)
    out = wire.inject(inside(context=context))
    assert members(out["baggage"])["sentry-transaction"] == "GET%20%2Fcards%2F%5Bredacted%3Apan%5D"
    assert not shows(wire.contexts.of(ids.trace_id))


@given(key=st.text("0123456789abcdef", min_size=32, max_size=32), rand=st.floats(0, 1, exclude_max=True))
def test_keys_ids_and_rates_of_a_sampling_context_are_not_redacted(key: str, rand: float) -> None:
    contexts = SamplingContexts({}, ActiveRoots(10, 10), 10, REDACTOR.text)
    items = {
        "public_key": key,
        "trace_id": key[::-1],
        "sample_rand": f"{rand:.6f}",
        "sample_rate": "0.25",
        "release": "bank@1.2.3+build.4",
        "org_id": "4505123456789",
        "replay_id": key,
    }
    contexts.freeze(7, items)
    assert contexts.of(7) == items


def test_a_continued_trace_without_sampling_context_gets_a_minimal_one() -> None:
    wire = Wire()
    _, context = wire.extract(sentry_trace=f"{TRACE}-{SPAN}-1")
    assert members(wire.inject(inside(context=context))["baggage"]) == {
        "sentry-public_key": "key",
        "sentry-trace_id": TRACE,
        "sentry-sampled": "true",
    }


def test_the_head_of_a_trace_creates_one_sampling_context() -> None:
    wire = Wire()
    trace_id = int(TRACE, 16)
    wire.roots.started(server(trace_id=trace_id))
    expected = {
        "sentry-public_key": "key", "sentry-environment": "production", "sentry-release": "bank%401.0",
        "sentry-org_id": "7", "sentry-trace_id": TRACE, "sentry-sample_rand": sample_rand(trace_id),
        "sentry-transaction": "GET%20%2Fapi%2Faccounts%2F%7Bid%7D", "sentry-sampled": "true",
    }  # fmt: skip
    assert members(wire.inject(inside())["baggage"]) == expected
    wire.roots.started(make(1, trace_id=trace_id, name="renamed"))
    assert members(wire.inject(inside())["baggage"]) == expected
    assert wire.contexts.of(trace_id, sampled=True, rate=0.1)["sample_rate"] == "0.1"


def test_a_raw_path_is_not_propagated_as_transaction_name() -> None:
    wire = Wire()
    trace_id = int(TRACE, 16)
    wire.roots.started(
        make(1, trace_id=trace_id, attributes={"http.request.method": "GET", "url.path": "/a/7"})
    )
    assert "sentry-transaction" not in members(wire.inject(inside())["baggage"])


def test_a_secret_in_the_transaction_name_is_not_propagated() -> None:
    wire = Wire()
    wire.roots.started(make(1, trace_id=int(TRACE, 16), name="pay with 4111111111111111"))
    header = wire.inject(inside())["baggage"]
    assert not shows(header)
    assert members(header)["sentry-transaction"].startswith("pay%20with")


def test_with_tail_sampling_the_decision_is_deferred_to_the_receiver() -> None:
    wire = Wire(decided=False)
    out = wire.inject(inside())
    assert out["sentry-trace"] == f"{TRACE}-{SPAN}"
    assert "sentry-sampled" not in members(out["baggage"])
    out = wire.inject(inside(sampled=False))
    assert out["sentry-trace"] == f"{TRACE}-{SPAN}-0", "a caller decided against it already"


def test_a_trace_of_another_organisation_is_not_continued() -> None:
    ids, _ = Wire().extract(sentry_trace=f"{TRACE}-{SPAN}-1", baggage="sentry-org_id=8")
    assert not ids.is_valid
    ids, _ = Wire().extract(sentry_trace=f"{TRACE}-{SPAN}-1", baggage="sentry-org_id=7")
    assert ids.is_valid


ORGS = [
    # own organisation, incoming organisation, strict, continued
    ("7", "7", True, True), ("7", None, True, False), (None, "7", True, False), (None, None, True, True),
    ("7", None, False, True), (None, "7", False, True), ("7", "8", False, False),
]  # fmt: skip


@pytest.mark.parametrize(("ours", "theirs", "strict", "continued"), ORGS)
def test_strict_continuation_requires_equal_organisations(
    ours: str | None, theirs: str | None, strict: bool, continued: bool
) -> None:
    wire = Wire(base={"org_id": ours} if ours else {}, strict_continuation=strict)
    header = f"sentry-org_id={theirs}" if theirs else "tenant=x"
    ids, _ = wire.extract(sentry_trace=f"{TRACE}-{SPAN}-1", baggage=header)
    assert ids.is_valid is continued


def test_strict_continuation_does_not_apply_to_traceparent() -> None:
    ids, _ = Wire(strict_continuation=True).extract(traceparent=f"00-{OTHER}-{SPAN}-01")
    assert ids.is_valid


TARGETS = [
    ((".",), "https://other.example/a", True),
    ((), "https://bank.example/a", False),
    ((r"^https://bank\.example/",), "https://bank.example/a", True),
    ((r"^https://bank\.example/",), "https://other.example/?u=https://bank.example/", False),
]


@pytest.mark.parametrize("name", ["url.full", "http.url"])
@pytest.mark.parametrize(("targets", "url", "expected"), TARGETS)
def test_only_targets_get_sentrys_headers_and_all_get_opentelemetrys(
    targets: tuple[str, ...], url: str, expected: bool, name: str
) -> None:
    wire = Wire(targets=targets)
    span = TracerProvider(shutdown_on_exit=False).get_tracer("t").start_span("GET", attributes={name: url})
    out = wire.inject(trace.set_span_in_context(span))
    assert "traceparent" in out
    assert ("sentry-trace" in out) is expected
    assert ("sentry-" in out.get("baggage", "")) is expected


@pytest.mark.parametrize(
    ("targets", "url", "propagated"),
    [
        ([".*"], "https://anywhere.example", True),
        (["bank.example"], "https://api.bank.example/pay", True),
        (["bank.example"], "https://partner.example/pay", False),
        ([re.compile("^https://api")], "https://api.bank.example", True),
        ([], "https://api.bank.example", False),
        ([], None, False),
    ],
)
def test_the_propagation_targets_of_the_services_client_apply(
    targets: list[Any], url: str | None, propagated: bool
) -> None:
    wire = Wire()
    wire.contexts.follow({"trace_propagation_targets": targets})
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("t")
    with tracer.start_as_current_span("GET", attributes={"url.full": url} if url else {}) as span:
        out = wire.inject(trace.set_span_in_context(span))
    assert ("sentry-trace" in out) is propagated
    assert "traceparent" in out


def test_the_strict_continuation_of_the_services_client_applies() -> None:
    wire = Wire(base={"public_key": "key"})
    wire.contexts.follow({"strict_trace_continuation": True, "org_id": 7})
    ids, _ = wire.extract(sentry_trace=f"{TRACE}-{SPAN}-1", baggage=f"sentry-trace_id={TRACE}")
    assert not ids.is_valid
    ids, _ = wire.extract(sentry_trace=f"{TRACE}-{SPAN}-1", baggage="sentry-org_id=7")
    assert ids.is_valid


def test_outside_a_trace_no_header_is_written() -> None:
    assert Wire().inject(Context()) == {}


def test_a_baggage_header_above_the_limit_loses_its_last_members() -> None:
    wire = Wire(base={**BASE, "release": "r" * 5000})
    context = Context()
    for number in range(60):
        context = baggage.set_baggage(f"k{number}", "v" * 150, context)
    header = wire.inject(inside(context=context))["baggage"]
    assert len(header) <= 8192
    assert len(members(header)["sentry-release"]) == 512
    assert all(len(value) == 150 for name, value in members(header).items() if name.startswith("k"))


def test_stored_sampling_contexts_are_bounded() -> None:
    wire = Wire()
    for trace_id in range(1, 50):
        wire.contexts.freeze(trace_id, {"public_key": str(trace_id)})
    assert wire.contexts.of(49)["public_key"] == "49"
    assert wire.contexts.of(1)["public_key"] == "key"


@given(st.integers(1, 2**128 - 1))
def test_sample_rand_is_the_complement_of_the_consistent_sampling_value(trace_id: int) -> None:
    number = float(sample_rand(trace_id))
    assert 0 <= number < 1
    kept_share = 1 - (trace_id & (2**56 - 1)) / 2**56
    assert abs(number - kept_share) < 2e-6


@given(st.dictionaries(st.text(max_size=20), st.text(max_size=20), max_size=5), st.text(max_size=60))
def test_no_header_value_raises(items: dict[str, str], text: str) -> None:
    header = ",".join(f"{name}={value}" for name, value in items.items())
    wire = Wire()
    _, context = wire.extract(baggage=header + text, sentry_trace=text, traceparent=text)
    wire.inject(inside(context=context))
    _, context = wire.extract(baggage=header + text, sentry_trace=f"{TRACE}-{SPAN}-1")
    out = wire.inject(inside(context=context))
    assert all(char >= " " for value in out.values() for char in value)
