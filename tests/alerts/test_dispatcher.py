"""Notifications are delivered in order, with retries and bounds, redacted again, and not repeated."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from opentelemetry.instrumentation.utils import is_instrumentation_enabled

from alerts.channels.test_notifiers import KEY, PAN, notification
from alerts.conftest import OpenStore
from alerts.kit import SECOND, START, policy_with
from alerts.receivers import HttpReceiver, Reply
from mita_otel.alerts.channels.registry import Channels
from mita_otel.alerts.channels.slack import SlackNotifier
from mita_otel.alerts.dispatcher import NotificationDispatcher
from mita_otel.alerts.memory_store import MemoryAlertStore
from mita_otel.alerts.store import AlertStore, AlertStoreUnavailableError, QueuedNotification
from mita_otel.errors import ConfigurationError
from mita_otel.policy import Policy, default_policy
from mita_otel.policy.conversion import convert
from mita_otel.processors.queues.losses import Losses
from mita_otel.redaction import Redactor


class Post:
    """A dispatcher with a fake clock, and a receiver for Slack and PagerDuty."""

    def __init__(self, store: AlertStore, receiver: HttpReceiver, policy: Policy | None = None) -> None:
        self.store = store
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
        self.channels = Channels(self.policy.alerts, env)
        self.losses = Losses(cool_down_s=60)
        self.dispatcher = NotificationDispatcher(
            self.policy.alerts.delivery, store, self.channels, Redactor(self.policy.redaction), self.losses,
            kind_of=lambda name: self.policy.alerts.channels[name].kind, clock_ns=lambda: self.now_ns, jitter=lambda: 0,
        )  # fmt: skip
        self.numbers = 0

    def send(self, channel: str = "finance_slack", **changes: Any) -> None:
        self.numbers += 1
        message = QueuedNotification(f"m{self.numbers}", channel, notification(**changes), self.now_ns)
        with self.store.transaction() as transaction:
            transaction.enqueue([message])

    def after(self, seconds: float) -> None:
        self.now_ns += int(seconds * SECOND)
        self.dispatcher.deliver()

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

    def make_one(store: AlertStore | None = None, policy: Policy | None = None) -> Post:
        store = store or MemoryAlertStore(max_samples=100, max_queued=1000)
        made.append(Post(store, receiver, policy))
        return made[-1]

    yield make_one
    for one in made:
        one.channels.close()


def test_notifications_are_delivered_in_order_and_removed(open_store: OpenStore, make: MakePost) -> None:
    post = make(open_store())
    for number in range(5):
        post.send(title=f"Alert {number}", reason="why")
    assert post.store.waiting() == 5
    post.after(0)
    assert post.texts == [f"Alert {number}: why" for number in range(5)]
    assert post.store.waiting() == 0


def test_a_failed_notification_is_retried_with_longer_pauses_and_stays_first(
    open_store: OpenStore, make: MakePost, receiver: HttpReceiver
) -> None:
    post = make(open_store())
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


def test_a_failing_channel_does_not_delay_another(make: MakePost, receiver: HttpReceiver) -> None:
    post = make()
    receiver.replies = [Reply(500, "")]
    post.send("finance_slack")
    post.send("security_slack")
    post.after(0)
    assert [one.path for one in receiver.posted] == ["/finance", "/security"]
    assert post.dispatcher.failing == {"finance_slack": "Slack: answered 500"}
    post.after(2)
    assert post.dispatcher.failing == {}


def test_retry_after_delays_the_next_attempt(make: MakePost, receiver: HttpReceiver) -> None:
    post = make()
    receiver.replies = [Reply(429, "rate_limited", {"Retry-After": "90"})]
    post.send()
    post.after(0)
    post.after(89)
    assert len(receiver.posted) == 1
    post.after(1)
    assert len(receiver.posted) == 2


def test_the_delay_by_retry_after_is_bounded(make: MakePost, receiver: HttpReceiver) -> None:
    """An alert is of use today: four times the policy's longest pause is enough."""
    post = make()
    receiver.replies = [Reply(429, "rate_limited", {"Retry-After": "86400"})]
    post.send()
    post.after(0)
    post.after(post.policy.alerts.delivery.retry_max_s * 4 - 1)
    assert len(receiver.posted) == 1
    post.after(1)
    assert len(receiver.posted) == 2


def test_a_notification_is_dropped_counted_and_logged_after_the_last_attempt(
    make: MakePost, receiver: HttpReceiver, caplog: pytest.LogCaptureFixture
) -> None:
    post = make()
    receiver.usual = Reply(500, "down")
    post.send()
    for _ in range(20):
        post.after(400)
    assert len(receiver.posted) == post.policy.alerts.delivery.attempts
    assert post.store.waiting() == 0
    assert post.losses.counts() == {("alerts", "undelivered.finance_slack"): 1}
    assert "could not be delivered to finance_slack: Slack: answered 500 down; 8 attempts" in caplog.text


def test_a_refused_notification_is_not_retried(
    make: MakePost, receiver: HttpReceiver, caplog: pytest.LogCaptureFixture
) -> None:
    post = make()
    receiver.replies = [Reply(404, "no_service")]
    post.send(title="One")
    post.send(title="Two")
    post.after(0)
    assert len(receiver.posted) == 2
    assert "could not be delivered to finance_slack: Slack: answered 404 no_service" in caplog.text
    assert post.store.waiting() == 0


def test_notifications_beyond_the_rate_limit_become_one_digest(
    make: MakePost, receiver: HttpReceiver
) -> None:
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
    assert last["text"].startswith("10 alerts in one message: the rate limit was reached")
    assert "3 of" in str(last["blocks"])
    assert "alerts ack" not in str(last)  # of which of them?
    assert post.store.waiting() == 0
    post.send(title="The next one")
    post.after(1)
    assert post.texts[-1].startswith("The next one")


def test_incidents_never_become_a_digest(make: MakePost, receiver: HttpReceiver) -> None:
    receiver.usual = Reply(202, "{}")
    post = make()
    for number in range(35):
        post.send("finance_pagerduty", alert_id=f"alert{number}")
    post.after(0)
    post.after(600)
    assert len({one.json["dedup_key"] for one in receiver.posted}) == 35


def test_a_notification_waits_until_its_channel_is_configured(make: MakePost, receiver: HttpReceiver) -> None:
    post = make()
    post.send("compliance_slack")
    post.send("finance_slack")
    post.after(0)
    assert [one.path for one in receiver.posted] == ["/finance"]
    assert post.store.waiting() == 1


def test_the_queue_drops_the_oldest_notifications(open_store: OpenStore) -> None:
    store = open_store()
    with store.transaction() as transaction:
        transaction.enqueue(
            [QueuedNotification(f"m{n}", "finance_slack", notification(), START) for n in range(1005)]
        )
    assert store.waiting() == 1000
    assert [one.id for one in store.due(START, ["finance_slack"], 1)] == ["m5"]


def test_the_pause_between_attempts_is_bounded(make: MakePost, receiver: HttpReceiver) -> None:
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
def test_a_receivers_response_is_redacted_in_logs_and_health(
    make: MakePost, receiver: HttpReceiver, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    post = make(policy=policy_with(delivery={**default_policy().alerts.delivery.to_dict(), "attempts": 1}))
    receiver.replies = [Reply(status, f"what is {PAN}?")]
    post.send()
    post.after(0)
    assert post.dispatcher.failing["finance_slack"].startswith(
        f"Slack: answered {status} what is [redacted:pan]?"
    )
    assert "could not be delivered to finance_slack" in caplog.text and PAN not in caplog.text


def test_requests_of_channels_create_no_spans(make: MakePost, monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[bool] = []
    monkeypatch.setattr(
        SlackNotifier, "send", lambda self, notification: measured.append(is_instrumentation_enabled())
    )
    post = make()
    post.send()
    post.after(0)
    assert measured == [False]


def test_a_queued_notification_is_redacted_again(make: MakePost, receiver: HttpReceiver) -> None:
    post = make()
    post.send(title=f"Declined {PAN}")
    post.after(0)
    assert PAN not in receiver.posted[0].body.decode()


class Forgetful(MemoryAlertStore):
    """A store that cannot note that something was delivered."""

    broken = True

    def remove(self, messages: Sequence[QueuedNotification]) -> None:
        if self.broken:
            raise AlertStoreUnavailableError("the database is away")
        super().remove(messages)


def test_a_delivered_notification_is_not_sent_again_if_the_store_fails(
    make: MakePost, receiver: HttpReceiver
) -> None:
    store = Forgetful(max_samples=10, max_queued=10)
    post = make(store)
    post.send(title="One")
    post.after(0)
    post.after(1)
    assert len(receiver.posted) == 1
    store.broken = False
    post.send(title="Two")
    post.after(1)
    assert [text.split(":")[0] for text in post.texts] == ["One", "Two"]
    assert store.waiting() == 0


# --- channels ----------------------------------------------------------------------------------------
def ways(**env: str) -> Channels:
    return Channels(default_policy().alerts, env)


def test_three_variables_configure_every_slack_and_pagerduty_channel() -> None:
    found = ways(
        SLACK_FINANCE_WEBHOOK="https://x", SLACK_SECURITY_WEBHOOK="https://y", PAGERDUTY_FINANCE_KEY=KEY
    )
    assert found.resolve(("payments_slack", "finance_slack")) == ("finance_slack",)
    assert found.resolve(("compliance_slack", "devops_slack")) == ("security_slack", "finance_slack")
    assert found.resolve(("security_pagerduty", "devops_pagerduty")) == ("finance_pagerduty",)
    for rule in default_policy().alerts.rules.values():
        assert found.resolve(rule.channels), rule.title


def test_an_unconfigured_channel_names_what_is_missing() -> None:
    found = ways(MITA_OTEL_SMTP_URL="smtp://mail.example")
    assert found.missing("finance_slack") == "SLACK_FINANCE_WEBHOOK is not set"
    assert "finance-team@mita.finance is a placeholder; set your own address" in found.missing(
        "finance_email"
    )
    assert ways().missing("finance_email") == "MITA_OTEL_SMTP_URL is not set"
    assert found.configured == ()


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("PAGERDUTY_FINANCE_KEY", "your-pagerduty-integration-key", "PAGERDUTY_FINANCE_KEY: PagerDuty: the key is not an integration key of 32"),
        ("SLACK_FINANCE_WEBHOOK", "#finance-alerts", "SLACK_FINANCE_WEBHOOK: Slack: the URL is not valid; copy it completely"),
        ("SLACK_FINANCE_WEBHOOK", "https://", "SLACK_FINANCE_WEBHOOK: Slack: the URL is not valid"),
    ],
)  # fmt: skip
def test_an_invalid_setting_is_refused_before_an_alert(variable: str, value: str, said: str) -> None:
    found = ways(**{variable: value})
    with pytest.raises(ConfigurationError, match=said) as raised:
        found.notifier(found.configured[0])
    assert value not in str(raised.value) or value == "https://"
    found.close()


def test_placeholder_addresses_need_a_sender_of_their_domain() -> None:
    policy = policy_with(
        email={"sender": "alerts@mita.finance", "starttls": "required", "placeholder_domain": "mita.finance"}
    )
    found = Channels(policy.alerts, {"MITA_OTEL_SMTP_URL": "smtp://mail.example"})
    assert found.missing("finance_email") == ""


def test_circular_fallbacks_resolve_to_no_channel() -> None:
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
    assert Channels(policy.alerts, {}).resolve(("a",)) == ()
    assert Channels(policy.alerts, {"B": "https://b"}).resolve(("a",)) == ("b",)
