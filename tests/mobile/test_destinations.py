"""The waiting time of an envelope is added to `sent_at`, or Sentry would take it for clock drift."""

from __future__ import annotations

from typing import Any

import pytest

from mita_otel.mobile.destinations import sent_later


def test_the_waiting_time_is_added_to_sent_at() -> None:
    said = sent_later({"sent_at": "2025-11-24T09:00:09.250Z", "event_id": "a"}, 90.5)
    assert said == {"sent_at": "2025-11-24T09:01:39.750000Z", "event_id": "a"}


@pytest.mark.parametrize("sent_at", [None, 5, "soon", "", "9999-12-31T23:59:59Z"])
def test_an_invalid_sent_at_is_unchanged(sent_at: Any) -> None:
    assert sent_later({"sent_at": sent_at}, 1e9) == {"sent_at": sent_at}


def test_a_clock_that_steps_back_does_not_reduce_sent_at() -> None:
    assert sent_later({"sent_at": "2025-11-24T09:00:09Z"}, -5) == {"sent_at": "2025-11-24T09:00:09Z"}
