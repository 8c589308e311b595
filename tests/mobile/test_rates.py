"""Sentry's rate limits are applied and forwarded in the format of SDKs; each client has a rate limit."""

from __future__ import annotations

import pytest

from mita_otel.mobile.intake_budget import ClientRates, network_of
from mita_otel.mobile.rate_limits import CATEGORIES, ForwardedRateLimits, categories_of
from mita_otel.policy.mobile import RatePolicy


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


# --- Sentry's limits -----------------------------------------------------------------------------------------
def limits_after(status: int = 200, **headers: str) -> tuple[ForwardedRateLimits, Clock]:
    clock = Clock()
    limits = ForwardedRateLimits(clock)
    limits.update(status, {name.replace("_", "-"): value for name, value in headers.items()})
    return limits, clock


@pytest.mark.parametrize(
    ("header", "limited", "free"),
    [
        ("60:transaction:organization", ["transaction"], ["error", "span"]),
        ("60:transaction;span:project:quota", ["transaction", "span"], ["error"]),
        ("60::organization", ["error", "anything"], []),
        ("10:error:key, 20:session:key", ["error", "session"], ["span"]),
        (" 60 : Error ; Span : x ", ["error", "span"], ["session"]),
        ("0:error:key", [], ["error"]),
        ("60", [], ["error"]),
        ("", [], ["error"]),
        ("soon:error:key", ["error"], ["span"]),
        ("-5:error:key", ["error"], ["span"]),
        ("inf:error:key, nan:span:key", ["error", "span"], []),
        (":::,,;;", [""], []),
    ],
)
def test_the_rate_limit_header_is_parsed(header: str, limited: list[str], free: list[str]) -> None:
    limits, _ = limits_after(x_sentry_rate_limits=header)
    assert [one for one in limited if not limits.is_limited([one])] == []
    assert [one for one in free if limits.is_limited([one])] == []


def test_the_longer_of_two_limits_applies_until_it_ends() -> None:
    limits, clock = limits_after(x_sentry_rate_limits="60:error:key")
    limits.update(200, {"x-sentry-rate-limits": "10:error:key"})
    clock.now += 59
    assert limits.is_limited(["error"])
    clock.now += 2
    assert not limits.is_limited(["error"])
    assert limits.header() == ""


@pytest.mark.parametrize(("said", "seconds"), [("17", 17), ("", 60), ("soon", 60), ("Wed, 21 Oct 2015", 60)])
def test_a_429_without_the_header_limits_everything(said: str, seconds: int) -> None:
    limits, clock = limits_after(429, retry_after=said)
    clock.now += seconds - 1
    assert limits.is_limited(["error"])
    clock.now += 1
    assert not limits.is_limited(["error"])


def test_retry_after_applies_only_with_a_429() -> None:
    limits, _ = limits_after(503, retry_after="60")
    assert not limits.is_limited(["error"])


def test_limits_are_forwarded_with_the_remaining_time_rounded_up() -> None:
    limits, clock = limits_after(x_sentry_rate_limits="60:transaction;span:organization, 2700::key")
    clock.now += 10.5
    assert limits.header() == "2690::organization, 50:span:organization, 50:transaction:organization"
    again = ForwardedRateLimits(Clock())
    again.update(200, {"x-sentry-rate-limits": limits.header()})
    assert again.is_limited(["span"])


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("60:error:key", ""),
        ("60:error;session:key", "60:session:organization"),
        ("60:transaction:key", "60:transaction:organization"),
    ],
)
def test_limits_of_exempt_categories_are_not_forwarded(header: str, said: str) -> None:
    limits, _ = limits_after(x_sentry_rate_limits=header)
    assert limits.header(("error", "feedback")) == said
    assert limits.is_limited(["error"]) is ("error" in header)


def test_a_limit_on_all_categories_is_forwarded_for_the_others() -> None:
    limits, _ = limits_after(429, retry_after="60")
    again = ForwardedRateLimits(Clock())
    again.update(200, {"x-sentry-rate-limits": limits.header(("error", "feedback"))})
    free = {"error", "feedback"}
    assert not any(again.is_limited([one]) for one in free)
    for kind, categories in CATEGORIES.items():
        assert again.is_limited(categories) or free.issuperset(categories), kind
    assert again.is_limited(categories_of("something new"))


def test_the_number_and_duration_of_limits_are_bounded() -> None:
    limits, clock = limits_after(x_sentry_rate_limits=",".join(f"1e300:c{n}:key" for n in range(10_000)))
    assert len(limits.header()) < 4000
    clock.now += 86_401
    assert limits.header() == ""


# --- limits of clients -------------------------------------------------------------------------------------------------
RATES = RatePolicy(
    client_burst=3,
    client_per_minute=60,
    total_burst=5,
    total_per_minute=120,
    request_cpu_ms=10,
    max_clients=100,
)


def test_a_client_has_a_burst_and_then_its_rate() -> None:
    clock = Clock()
    rates = ClientRates(RATES, clock)
    assert [rates.wait_s("10.0.0.1") for _ in range(3)] == [0, 0, 0]
    assert rates.wait_s("10.0.0.1") == pytest.approx(1)
    clock.now += 0.5
    assert rates.wait_s("10.0.0.1") == pytest.approx(0.5)
    clock.now += 0.5
    assert rates.wait_s("10.0.0.1") == 0


def test_an_expensive_request_counts_as_several() -> None:
    clock = Clock()
    rates = ClientRates(RATES, clock)
    assert rates.wait_s("10.0.0.1") == 0
    rates.charge("10.0.0.1", 0.009)
    assert rates.wait_s("10.0.0.1") == 0
    # The token covers the first hundredth of a second; the rest costs two more.
    rates.charge("10.0.0.1", 0.03)
    assert rates.wait_s("10.0.0.1") == pytest.approx(2)


def test_the_debt_of_a_client_is_bounded_by_its_burst() -> None:
    clock = Clock()
    rates = ClientRates(RATES, clock)
    rates.wait_s("10.0.0.1")
    rates.charge("10.0.0.1", 3600)
    assert rates.wait_s("10.0.0.1") == pytest.approx(4)
    rates.charge("10.0.0.9", 1)
    assert len(rates._clients) == 1


def test_clients_have_separate_rates() -> None:
    rates = ClientRates(RATES, Clock())
    for _ in range(10):
        rates.wait_s("10.0.0.1")
    assert rates.wait_s("10.0.0.2") == 0


def test_all_clients_together_have_a_rate_limit() -> None:
    rates = ClientRates(RATES, Clock())
    assert [rates.wait_s(f"10.0.0.{n}") > 0 for n in range(7)] == [False] * 5 + [True] * 2


def test_the_number_of_tracked_clients_is_bounded() -> None:
    clock = Clock()
    rates = ClientRates(RATES, clock)
    for n in range(1000):
        clock.now += 1
        rates.wait_s(f"10.0.{n // 250}.{n % 250}")
    assert len(rates._clients) == 100


def test_a_clock_that_steps_back_adds_no_tokens() -> None:
    clock = Clock()
    rates = ClientRates(RATES, clock)
    for _ in range(3):
        rates.wait_s("a")
    clock.now -= 100
    assert rates.wait_s("a") > 0


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::ffff", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("testclient", "testclient"),
        ("", ""),
        ("x" * 500, "x" * 64),
    ],
)
def test_a_client_is_an_ipv4_address_or_an_ipv6_network(address: str, network: str) -> None:
    assert network_of(address) == network
