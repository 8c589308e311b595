"""Rate limits: every form of the headers, categories, and the end of a limit."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from mita_otel.sentry.transport.rate_limits import RateLimits, parse_rate_limits


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("header", "limits"),
    [
        ("60:transaction:key", [("transaction", 60)]),
        ("60:error;transaction:organization", [("error", 60), ("transaction", 60)]),
        ("60:error:key, 2700:session:org", [("error", 60), ("session", 2700)]),
        ("60::organization", [("", 60)]),
        ("60:metric_bucket:organization:quota:custom", [("metric_bucket", 60)]),
        ("60:metric_bucket:organization:quota:transactions;custom", [("metric_bucket", 60)]),
        ("60:metric_bucket:organization:quota:transactions", []),
        ("60:metric_bucket:organization:quota:", [("metric_bucket", 60)]),
        ("60:metric_bucket:organization", [("metric_bucket", 60)]),
        ("soon:error:key, -5:error:key, 60, :error:key, ,", []),
        ("x:y:z,60:error", [("error", 60)]),
    ],
)
def test_the_header_is_parsed_limit_by_limit(header: str, limits: list[tuple[str, float]]) -> None:
    assert list(parse_rate_limits(header)) == limits


def test_a_limit_applies_to_its_category_until_it_ends() -> None:
    clock = Clock()
    limits = RateLimits(clock=clock)
    limits.update(200, {"x-sentry-rate-limits": "60:error:key"})
    assert limits.apply_to("error")
    assert not limits.apply_to("transaction")
    assert limits.active
    clock.now += 60
    assert not limits.apply_to("error")
    assert not limits.active


def test_a_limit_without_category_applies_to_all() -> None:
    limits = RateLimits(clock=Clock())
    limits.update(200, {"x-sentry-rate-limits": "60::key"})
    assert limits.apply_to("error")
    assert limits.apply_to("log_item")


def test_a_shorter_limit_does_not_end_a_longer_one() -> None:
    clock = Clock()
    limits = RateLimits(clock=clock)
    limits.update(429, {"x-sentry-rate-limits": "60:error:key"})
    limits.update(429, {"x-sentry-rate-limits": "5:error:key"})
    clock.now += 30
    assert limits.apply_to("error")


@pytest.mark.parametrize(
    ("value", "seconds"), [("30", 30), (None, 60), ("soon", 60), ("0", 60), ("DATE", 120)]
)
def test_a_429_without_limits_applies_retry_after_to_all(value: str | None, seconds: int) -> None:
    clock = Clock()
    limits = RateLimits(clock=clock)
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=120), usegmt=True)
    limits.update(429, {} if value is None else {"retry-after": value.replace("DATE", date)})
    clock.now += seconds - 10
    assert limits.apply_to("error")
    clock.now += 10
    assert not limits.apply_to("error")


def test_retry_after_applies_only_to_a_429_without_limits() -> None:
    limits = RateLimits(clock=Clock())
    limits.update(503, {"retry-after": "60"})
    limits.update(429, {"x-sentry-rate-limits": "60:session:key", "retry-after": "60"})
    assert not limits.apply_to("error")
    assert limits.apply_to("session")
