"""The engine answers 200 only for stored data; an error that cannot be stored is left with the app."""

from __future__ import annotations

import gzip
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from e2e.receiver import Receiver
from leaks import shows
from mita_otel.mobile.engine import Engine
from mita_otel.mobile.preparation import Intake
from mita_otel.mobile.reply import Reply
from mita_otel.redaction import Redactor
from mobile.kit import envelope, intake, policy_with, recorded

UNREACHABLE = "http://fedcbafedcbafedc@127.0.0.1:9/1"


Make = Callable[..., Engine]


@pytest.fixture
def make() -> Iterator[Make]:
    """Return a factory of engines; each is stopped after the test."""
    made: list[Engine] = []

    def one(
        folder: Path, upstream: str = UNREACHABLE, env: Mapping[str, str] | None = None, **sections: Any
    ) -> Engine:
        sections.setdefault("forward", {"retry_first_s": 0.05, "retry_max_s": 0.2})
        made.append(
            Engine(policy_with(folder / "spool", upstream=upstream, **sections), Redactor(), env or {})
        )
        return made[-1]

    yield one
    for engine in made:
        engine.stop(0)


def test_an_accepted_envelope_arrives_at_sentry(make: Make, tmp_path: Path, receiver: Receiver) -> None:
    engine = make(tmp_path, receiver.dsn)
    reply = engine.take(intake(gzip.compress(recorded("payment_error")), "gzip"))
    assert (reply.status, set(reply.body)) == (200, {"id"})
    receiver.wait_for(lambda server: server.events)
    [event] = receiver.events
    assert event["event_id"] == reply.body["id"]
    assert "[redacted:pan]" in event["exception"]["values"][0]["value"]
    assert engine.flush(60)
    status = engine.status()
    assert (status.delivered, status.records, status.lost) == (1, 0, {})


def test_each_reply_reports_the_cpu_time_it_took(tmp_path: Path) -> None:
    readings = iter([1.0, 1.25, 5.0, 5.5])
    policy = policy_with(tmp_path / "spool", upstream=UNREACHABLE)
    engine = Engine(policy, Redactor(), {}, cpu_clock=lambda: next(readings))
    assert engine.take(intake(recorded("session_start"))).cpu_s == 0.25
    assert engine.take(intake(b"hello")).cpu_s == 0.5
    engine.stop(0)


def test_the_reply_to_an_envelope_without_an_id_has_no_id(make: Make, tmp_path: Path) -> None:
    reply = make(tmp_path).take(intake(recorded("session_start")))
    assert (reply.status, reply.body) == (200, {})


def test_an_envelope_refused_by_policy_gets_200_and_is_not_stored(make: Make, tmp_path: Path) -> None:
    """The app could not act on an error response, and would count it as a failure."""
    engine = make(tmp_path)
    reply = engine.take(intake(recorded("replay_video")))
    assert (reply.status, reply.reason) == (200, "")
    assert engine.status().records == 0


def test_an_envelope_is_on_disk_before_the_200(make: Make, tmp_path: Path) -> None:
    engine = make(tmp_path)
    for name in ("native_crash", "payment_error", "screen_render", "logs"):
        before = len(list((tmp_path / "spool").rglob("*.record")))
        assert engine.take(intake(recorded(name))).status == 200
        assert len(list((tmp_path / "spool").rglob("*.record"))) == before + 1


def test_spooled_envelopes_are_redacted(make: Make, tmp_path: Path) -> None:
    engine = make(tmp_path)
    for name in ("payment_error", "logs", "streamed_spans", "feedback", "screenshot"):
        engine.take(intake(recorded(name)))
    kept = b"".join(path.read_bytes() for path in (tmp_path / "spool").rglob("*.record"))
    for secret in (b"4111 1111", b"41111111111", b"GB82WEST", b"tok-5f1e", b"5555555555554444"):
        assert secret not in kept


# --- full spool --------------------------------------------------------------------------------------------
def test_an_error_that_does_not_fit_the_spool_is_left_with_the_app(make: Make, tmp_path: Path) -> None:
    engine = make(tmp_path, spool={"max_records": 1})
    assert engine.take(intake(recorded("payment_error"))).status == 200
    reply = engine.take(intake(recorded("feedback")))
    assert (reply.status, reply.reason, reply.hold) == (503, "spool_full", True)


def test_other_data_that_do_not_fit_the_spool_get_429_with_retry_after(make: Make, tmp_path: Path) -> None:
    engine = make(tmp_path, spool={"max_records": 1})
    engine.take(intake(recorded("payment_error")))
    reply = engine.take(intake(recorded("logs")))
    assert (reply.status, reply.hold, reply.headers["Retry-After"]) == (429, False, "60")


def test_a_record_evicted_by_a_higher_priority_is_counted(make: Make, tmp_path: Path) -> None:
    # At most one record is being sent, and is not evicted.
    engine = make(tmp_path, spool={"max_records": 2}, forward={"senders": 1})
    for _ in range(2):
        assert engine.take(intake(recorded("logs"))).status == 200
    assert engine.take(intake(recorded("payment_error"))).status == 200
    assert engine.status().lost == {("spool_full", "debug"): 1}
    assert engine.status().lost == {}


def test_an_error_that_the_disk_refuses_is_left_with_the_app(make: Make, tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("in the way")
    reply = make(tmp_path).take(intake(recorded("payment_error")))
    assert (reply.status, reply.hold) == (503, True)


# --- Sentry's limits -------------------------------------------------------------------------------------------
def limited(make: Make, folder: Path, receiver: Receiver, limits: str, **forward: Any) -> Engine:
    engine = make(folder, receiver.dsn, forward={"retry_first_s": 0.05, "retry_max_s": 0.2, **forward})
    receiver.answer_headers = {"X-Sentry-Rate-Limits": limits}
    engine.take(intake(recorded("session_start")))
    receiver.wait_for(lambda server: server.requests)
    engine.flush(60)
    receiver.answer_headers = {}
    return engine


def limited_categories(reply: Reply) -> set[str]:
    """Return the rate-limited categories in the reply."""
    limits = reply.headers.get("X-Sentry-Rate-Limits", "").split(", ")
    return {category for limit in limits if limit for category in limit.split(":")[1].split(";")}


def test_every_reply_contains_sentrys_rate_limits(make: Make, tmp_path: Path, receiver: Receiver) -> None:
    engine = limited(make, tmp_path, receiver, "60:transaction;span:organization")
    reply = engine.take(intake(recorded("payment_error")))
    assert reply.status == 200
    assert reply.headers["X-Sentry-Rate-Limits"] == "60:span:organization, 60:transaction:organization"


def test_an_envelope_with_only_rate_limited_items_gets_429(
    make: Make, tmp_path: Path, receiver: Receiver
) -> None:
    engine = limited(make, tmp_path, receiver, "60:transaction:organization")
    reply = engine.take(intake(recorded("screen_render")))
    assert (reply.status, reply.reason, reply.headers["Retry-After"]) == (429, "rate_limited", "60")
    assert reply.headers["X-Sentry-Rate-Limits"] == "60:transaction:organization"


@pytest.mark.parametrize(
    ("limit", "others"),
    [
        ("100:error;session:organization", {"session"}),
        ("100:error:organization", set()),
        ("100:error:organization, 3600:transaction:organization", {"transaction"}),
    ],
)
def test_during_a_short_rate_limit_errors_are_accepted_and_spooled(
    make: Make, tmp_path: Path, receiver: Receiver, limit: str, others: set[str]
) -> None:
    """SDKs discard items of a rate-limited category before they send or store them."""
    engine = limited(make, tmp_path, receiver, limit)
    reply = engine.take(intake(recorded("payment_error")))
    assert (reply.status, set(reply.body)) == (200, {"id"})
    assert limited_categories(reply) == others
    assert reply.outcomes["event", "forwarded"] == 1
    assert engine.flush(60)
    assert engine.status().waiting == {"error": 1}
    assert receiver.events == []


def test_spooled_errors_are_sent_when_the_rate_limit_ends(
    make: Make, tmp_path: Path, receiver: Receiver
) -> None:
    engine = limited(make, tmp_path, receiver, "1:error:organization")
    reply = engine.take(intake(recorded("payment_error")))
    receiver.wait_for(lambda server: [one["event_id"] for one in server.events] == [reply.body["id"]])


@pytest.mark.parametrize(
    ("limit", "wait_out_s", "categories"),
    [
        ("3600:error:organization", 120, {"error"}),
        ("100:error:organization", 0, {"error"}),
        ("3600::organization", 120, {""}),
    ],
)
def test_during_a_long_rate_limit_errors_are_refused(
    make: Make,
    tmp_path: Path,
    receiver: Receiver,
    limit: str,
    wait_out_s: int,
    categories: set[str],
) -> None:
    engine = limited(make, tmp_path, receiver, limit, wait_out_s=wait_out_s)
    reply = engine.take(intake(recorded("payment_error")))
    assert (reply.status, reply.reason) == (429, "rate_limited")
    assert limited_categories(reply) == categories


def test_a_short_rate_limit_on_all_categories_still_accepts_errors(
    make: Make, tmp_path: Path, receiver: Receiver
) -> None:
    engine = limited(make, tmp_path, receiver, "100::organization")
    error = engine.take(intake(recorded("payment_error")))
    screen = engine.take(intake(recorded("screen_render")))
    assert (error.status, screen.status) == (200, 429)
    assert {"transaction", "session", "span"} <= limited_categories(screen)
    assert limited_categories(screen).isdisjoint({"error", "feedback"})


def test_rate_limited_items_of_an_envelope_are_left_out(
    make: Make, tmp_path: Path, receiver: Receiver
) -> None:
    engine = limited(make, tmp_path, receiver, "60:session:organization")
    reply = engine.take(intake(recorded("native_crash")))
    assert reply.status == 200
    assert reply.outcomes["session", "rate_limited"] == 1
    receiver.wait_for(lambda server: server.events)
    assert receiver.items("session")[1:] == []


# --- replies ----------------------------------------------------------------------------------------------------
def test_a_failing_engine_replies_500_without_quoting_the_envelope(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    engine = make(tmp_path)

    def fail(_: Intake) -> None:
        raise RuntimeError("4111 1111 1111 1111")

    monkeypatch.setattr(engine._preparer, "prepare", fail)
    reply = engine.take(intake(recorded("payment_error")))
    assert (reply.status, reply.reason) == (500, "failed")
    assert not shows(str(reply) + caplog.text)
    assert "RuntimeError" in caplog.text


def test_an_unknown_encoding_gets_415_with_the_accepted_encodings(make: Make, tmp_path: Path) -> None:
    reply = make(tmp_path).take(intake(b"x", "zstd"))
    assert (reply.status, reply.headers["Accept-Encoding"]) == (415, "gzip, deflate, br")


def test_without_brotli_installed_br_is_not_an_accepted_encoding(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mita_otel.mobile.envelope.brotli", None)
    reply = make(tmp_path).take(intake(b"x", "br"))
    assert (reply.status, reply.headers["Accept-Encoding"]) == (415, "gzip, deflate")


def test_without_protobuf_otlp_is_refused_and_the_log_names_the_extra(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delitem(sys.modules, "mita_otel.mobile.otlp", raising=False)
    monkeypatch.setitem(sys.modules, "google.protobuf.json_format", None)
    engine = make(tmp_path)
    reply = engine.take(Intake("app", b"", form="otlp_traces", content_type="application/x-protobuf"))
    assert (reply.status, reply.reason) == (501, "no_otlp")
    assert "pip install 'mita-otel[otlp]'" in caplog.text
    assert engine.take(intake(recorded("payment_error"))).status == 200


def test_concurrent_requests_are_all_answered(make: Make, tmp_path: Path, receiver: Receiver) -> None:
    engine = make(tmp_path, receiver.dsn)
    replies: list[Reply] = []

    def ask(number: int) -> None:
        event_id = f"{number:032x}"
        body = envelope(("event", {"event_id": event_id, "message": "x"}), event_id=event_id)
        replies.append(engine.take(intake(body)))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [reply.status for reply in replies] == [200] * 30
    receiver.wait_for(lambda server: len(server.events) == 30)
    assert {event["event_id"] for event in receiver.events} == {reply.body["id"] for reply in replies}


# --- several processes ------------------------------------------------------------------------------
def test_envelopes_spooled_by_one_process_are_sent_by_the_next(
    make: Make, tmp_path: Path, receiver: Receiver
) -> None:
    first = make(tmp_path)
    for name in ("native_crash", "payment_error", "screen_render"):
        assert first.take(intake(recorded(name))).status == 200
    first.stop(0)
    second = make(tmp_path, receiver.dsn)
    second.status()
    receiver.wait_for(lambda server: len(server.events) == 2 and server.transactions)


def test_the_spool_folder_of_the_environment_takes_precedence(make: Make, tmp_path: Path) -> None:
    engine = make(tmp_path, env={"MITA_OTEL_MOBILE_SPOOL": str(tmp_path / "elsewhere")})
    engine.take(intake(recorded("payment_error")))
    assert list((tmp_path / "elsewhere").rglob("*.record"))
    assert not (tmp_path / "spool").exists()
