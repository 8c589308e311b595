"""Delivery: in order, with patience, bounded, redacted once more, and never twice what arrived."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from opentelemetry.instrumentation.utils import is_instrumentation_enabled

from alerts.channels.test_notifiers import KEY, PAN, notification
from alerts.conftest import OpenBook
from alerts.kit import SECOND, START, policy_with
from alerts.receivers import HttpReceiver, Reply
from mita_otel.alerts.book import AlertBook, BookUnavailableError, Message
from mita_otel.alerts.channels.slack import SlackNotifier
from mita_otel.alerts.courier import Courier
from mita_otel.alerts.memory_book import MemoryBook
from mita_otel.alerts.ways import Ways
from mita_otel.errors import ConfigurationError
from mita_otel.policy import Policy, default_policy
from mita_otel.policy.conversion import convert
from mita_otel.processors.queues.losses import Losses
from mita_otel.redaction import Redactor


class Post:
    """A courier with a clock of the test's own, and a receiver for Slack and PagerDuty."""

    def __init__(self, book: AlertBook, receiver: HttpReceiver, policy: Policy | None = None) -> None:
        self.book = book
        self.receiver = receiver
        self.now_ns = START
        delivery = {"pagerduty_url": f"{receiver.url}/pagerduty", "timeout_s": 2.0}
        tree = (policy or default_policy()).to_dict()
        tree["alerts"]["delivery"] |= delivery
        self.policy = convert(Policy, tree)
        env = {
            "SLACK_FINANCE_WEBHOOK": f"{receiver.url}/finance",
            "SLACK_SECURITY_WEBHOOK": f"{receiver.url}/security",
            "PAGERDUTY_FINANCE_KEY": KEY,
        }
        self.ways = Ways(self.policy.alerts, env)
        self.losses = Losses(cool_down_s=60)
        self.courier = Courier(
            self.policy.alerts.delivery, book, self.ways, Redactor(self.policy.redaction), self.losses,
            kind_of=lambda name: self.policy.alerts.channels[name].kind, clock_ns=lambda: self.now_ns, jitter=lambda: 0,
        )  # fmt: skip
        self.numbers = 0

    def send(self, channel: str = "finance_slack", **changes: Any) -> None:
        self.numbers += 1
        message = Message(f"m{self.numbers}", channel, notification(**changes), self.now_ns)
        with self.book.turn() as turn:
            turn.send([message])

    def after(self, seconds: float) -> None:
        self.now_ns += int(seconds * SECOND)
        self.courier.deliver()

    @property
    def texts(self) -> list[str]:
        return [one.json["text"] for one in self.receiver.posted if "text" in one.json]


@pytest.fixture
def receiver() -> Iterator[HttpReceiver]:
    receiver = HttpReceiver()
    yield receiver
    receiver.close()


MakePost = Callable[..., Post]


@pytest.fixture
def make(receiver: HttpReceiver) -> Iterator[MakePost]:
    made: list[Post] = []

    def make_one(book: AlertBook | None = None, policy: Policy | None = None) -> Post:
        book = book or MemoryBook(max_points=100, max_messages=1000)
        made.append(Post(book, receiver, policy))
        return made[-1]

    yield make_one
    for one in made:
        one.ways.close()


def test_messages_arrive_in_order_and_are_forgotten(open_book: OpenBook, make: MakePost) -> None:
    post = make(open_book())
    for number in range(5):
        post.send(title=f"Alert {number}", reason="why")
    assert post.book.waiting() == 5
    post.after(0)
    assert post.texts == [f"Alert {number}: why" for number in range(5)]
    assert post.book.waiting() == 0


def test_a_message_that_fails_is_tried_again_with_longer_pauses_and_nothing_overtakes_it(
    open_book: OpenBook, make: MakePost, receiver: HttpReceiver
) -> None:
    post = make(open_book())
    receiver.replies = [Reply(500, ""), Reply(503, "")]
    post.send(title="It began", action="trigger")
    post.send(title="It is over", action="resolve")
    post.after(0)
    assert len(receiver.posted) == 1
    post.after(1.9)
    assert len(receiver.posted) == 1
    post.after(0.1)
    assert len(receiver.posted) == 2
    post.after(3.9)
    assert len(receiver.posted) == 2
    post.after(0.1)
    assert [text.split(":")[0] for text in post.texts] == ["It began"] * 3 + ["It is over"]


def test_a_channel_that_fails_does_not_hold_up_another(make: MakePost, receiver: HttpReceiver) -> None:
    post = make()
    receiver.replies = [Reply(500, "")]
    post.send("finance_slack")
    post.send("security_slack")
    post.after(0)
    assert [one.path for one in receiver.posted] == ["/finance", "/security"]
    assert post.courier.failing == {"finance_slack": "Slack: answered 500"}
    post.after(2)
    assert post.courier.failing == {}


def test_a_server_that_says_how_long_is_left_alone_so_long(make: MakePost, receiver: HttpReceiver) -> None:
    post = make()
    receiver.replies = [Reply(429, "rate_limited", {"Retry-After": "90"})]
    post.send()
    post.after(0)
    post.after(89)
    assert len(receiver.posted) == 1
    post.after(1)
    assert len(receiver.posted) == 2


def test_a_server_that_asks_for_a_day_is_tried_within_the_hour(
    make: MakePost, receiver: HttpReceiver
) -> None:
    """An alert is of use today: four times the policy's longest pause is enough."""
    post = make()
    receiver.replies = [Reply(429, "rate_limited", {"Retry-After": "86400"})]
    post.send()
    post.after(0)
    post.after(post.policy.alerts.delivery.retry_max_s * 4 - 1)
    assert len(receiver.posted) == 1
    post.after(1)
    assert len(receiver.posted) == 2


def test_a_message_is_given_up_after_the_policys_tries_counted_and_said(
    make: MakePost, receiver: HttpReceiver, caplog: pytest.LogCaptureFixture
) -> None:
    post = make()
    receiver.usual = Reply(500, "down")
    post.send()
    for _ in range(20):
        post.after(400)
    assert len(receiver.posted) == post.policy.alerts.delivery.attempts
    assert post.book.waiting() == 0
    assert post.losses.counts() == {("alerts", "undelivered.finance_slack"): 1}
    assert "could not be delivered to finance_slack: Slack: answered 500 down; tried 8 times" in caplog.text


def test_what_is_refused_is_not_tried_again(
    make: MakePost, receiver: HttpReceiver, caplog: pytest.LogCaptureFixture
) -> None:
    post = make()
    receiver.replies = [Reply(404, "no_service")]
    post.send(title="One")
    post.send(title="Two")
    post.after(0)
    assert len(receiver.posted) == 2
    assert "could not be delivered to finance_slack: Slack: answered 404 no_service" in caplog.text
    assert post.book.waiting() == 0


def test_too_many_messages_wait_and_are_told_in_one(make: MakePost, receiver: HttpReceiver) -> None:
    post = make()
    for number in range(40):
        post.send(title=f"Alert {number % 4}")
    post.after(0)
    assert len(receiver.posted) == 30
    post.after(599)
    assert len(receiver.posted) == 30
    post.after(1)
    assert len(receiver.posted) == 31
    last = receiver.posted[-1].json
    assert last["text"].startswith("10 alerts in one message: there were too many")
    assert "3 of" in str(last["blocks"])
    assert "alerts ack" not in str(last)  # of which of them?
    assert post.book.waiting() == 0
    post.send(title="The next one")
    post.after(1)
    assert post.texts[-1].startswith("The next one")


def test_incidents_are_never_told_in_one(make: MakePost, receiver: HttpReceiver) -> None:
    receiver.usual = Reply(202, "{}")
    post = make()
    for number in range(35):
        post.send("finance_pagerduty", alert_id=f"alert{number}")
    post.after(0)
    post.after(600)
    assert len({one.json["dedup_key"] for one in receiver.posted}) == 35


def test_a_message_waits_for_a_channel_that_has_nowhere_to_go_now(
    make: MakePost, receiver: HttpReceiver
) -> None:
    post = make()
    post.send("compliance_slack")
    post.send("finance_slack")
    post.after(0)
    assert [one.path for one in receiver.posted] == ["/finance"]
    assert post.book.waiting() == 1


def test_the_oldest_messages_go_if_there_are_too_many(open_book: OpenBook) -> None:
    book = open_book()
    with book.turn() as turn:
        turn.send([Message(f"m{n}", "finance_slack", notification(), START) for n in range(1005)])
    assert book.waiting() == 1000
    assert [one.id for one in book.next_messages(START, ["finance_slack"], 1)] == ["m5"]


def test_pauses_between_tries_end_at_the_policys_longest(make: MakePost, receiver: HttpReceiver) -> None:
    policy = policy_with(delivery={**default_policy().alerts.delivery.to_dict(), "retry_first_s": 200})
    post = make(policy=policy)
    receiver.usual = Reply(500, "")
    post.send()
    post.after(0)
    post.after(200)
    post.after(299)
    assert len(receiver.posted) == 2
    post.after(1)
    assert len(receiver.posted) == 3


@pytest.mark.parametrize("status", [400, 500])
def test_what_a_receiver_answers_is_redacted_where_it_is_said(
    make: MakePost, receiver: HttpReceiver, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    post = make(policy=policy_with(delivery={**default_policy().alerts.delivery.to_dict(), "attempts": 1}))
    receiver.replies = [Reply(status, f"what is {PAN}?")]
    post.send()
    post.after(0)
    assert post.courier.failing["finance_slack"].startswith(
        f"Slack: answered {status} what is [redacted:pan]?"
    )
    assert "could not be delivered to finance_slack" in caplog.text and PAN not in caplog.text


def test_our_own_requests_become_no_spans(make: MakePost, monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[bool] = []
    monkeypatch.setattr(
        SlackNotifier, "send", lambda self, notification: measured.append(is_instrumentation_enabled())
    )
    post = make()
    post.send()
    post.after(0)
    assert measured == [False]


def test_what_comes_out_of_the_book_is_redacted_again(make: MakePost, receiver: HttpReceiver) -> None:
    post = make()
    post.send(title=f"Declined {PAN}")
    post.after(0)
    assert PAN not in receiver.posted[0].body.decode()


class Forgetful(MemoryBook):
    """A book that cannot note that something was delivered."""

    broken = True

    def delivered(self, messages: Sequence[Message]) -> None:
        if self.broken:
            raise BookUnavailableError("the database is away")
        super().delivered(messages)


def test_what_arrived_is_not_sent_again_though_the_book_could_not_be_told(
    make: MakePost, receiver: HttpReceiver
) -> None:
    book = Forgetful(max_points=10, max_messages=10)
    post = make(book)
    post.send(title="One")
    post.after(0)
    post.after(1)
    assert len(receiver.posted) == 1
    book.broken = False
    post.send(title="Two")
    post.after(1)
    assert [text.split(":")[0] for text in post.texts] == ["One", "Two"]
    assert book.waiting() == 0


# --- channels ----------------------------------------------------------------------------------------
def ways(**env: str) -> Ways:
    return Ways(default_policy().alerts, env)


def test_the_guides_variables_are_enough_for_every_channel_of_slack_and_pagerduty() -> None:
    found = ways(
        SLACK_FINANCE_WEBHOOK="https://x", SLACK_SECURITY_WEBHOOK="https://y", PAGERDUTY_FINANCE_KEY=KEY
    )
    assert found.ready(("payments_slack", "finance_slack")) == ("finance_slack",)
    assert found.ready(("compliance_slack", "devops_slack")) == ("security_slack", "finance_slack")
    assert found.ready(("security_pagerduty", "devops_pagerduty")) == ("finance_pagerduty",)
    for rule in default_policy().alerts.rules.values():
        assert found.ready(rule.channels), rule.title


def test_a_channel_that_has_nowhere_to_go_says_what_it_lacks() -> None:
    found = ways(MITA_OTEL_SMTP_URL="smtp://mail.example")
    assert found.missing("finance_slack") == "SLACK_FINANCE_WEBHOOK is not set"
    assert "finance-team@mita.finance is a placeholder; write your own" in found.missing("finance_email")
    assert ways().missing("finance_email") == "MITA_OTEL_SMTP_URL is not set"
    assert found.usable == ()


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("PAGERDUTY_FINANCE_KEY", "your-pagerduty-integration-key", "PAGERDUTY_FINANCE_KEY: PagerDuty: the key is not an integration key of 32"),
        ("SLACK_FINANCE_WEBHOOK", "#finance-alerts", "SLACK_FINANCE_WEBHOOK: Slack: the URL is not one that can be posted to; copy it whole"),
        ("SLACK_FINANCE_WEBHOOK", "https://", "SLACK_FINANCE_WEBHOOK: Slack: the URL is not one"),
    ],
)  # fmt: skip
def test_a_setting_that_cannot_be_right_is_said_before_there_is_an_alert(
    variable: str, value: str, said: str
) -> None:
    found = ways(**{variable: value})
    with pytest.raises(ConfigurationError, match=said) as raised:
        found.notifier(found.usable[0])
    assert value not in str(raised.value) or value == "https://"
    found.close()


def test_mail_goes_to_the_guides_addresses_only_from_their_own_domain() -> None:
    policy = policy_with(
        email={"sender": "alerts@mita.finance", "starttls": "required", "placeholder_domain": "mita.finance"}
    )
    found = Ways(policy.alerts, {"MITA_OTEL_SMTP_URL": "smtp://mail.example"})
    assert found.missing("finance_email") == ""


def test_channels_that_stand_in_for_each_other_in_a_circle_lead_nowhere() -> None:
    channels = {
        "a": {"kind": "slack", "variable": "A", "instead": "b"},
        "b": {"kind": "slack", "variable": "B", "instead": "a"},
    }
    rule = {
        "title": "x",
        "on": ("errors",),
        "count": 1,
        "window_s": 60,
        "urgency": "info",
        "channels": ("a",),
    }
    policy = policy_with({"x": rule}, channels=channels, escalations={})
    assert Ways(policy.alerts, {}).ready(("a",)) == ()
    assert Ways(policy.alerts, {"B": "https://b"}).ready(("a",)) == ("b",)
