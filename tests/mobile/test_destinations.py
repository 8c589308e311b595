"""What an envelope waited here is added to its time of sending, so that Sentry does not take it for a slow clock."""

from __future__ import annotations

from typing import Any

import pytest

from mita_otel.mobile.destinations import sent_later


def test_what_an_envelope_waited_is_added_to_its_time_of_sending() -> None:
    said = sent_later({"sent_at": "2025-11-24T09:00:09.250Z", "event_id": "a"}, 90.5)
    assert said == {"sent_at": "2025-11-24T09:01:39.750000Z", "event_id": "a"}


@pytest.mark.parametrize("sent_at", [None, 5, "soon", "", "9999-12-31T23:59:59Z"])
def test_a_time_that_cannot_be_read_stays_as_it_is(sent_at: Any) -> None:
    assert sent_later({"sent_at": sent_at}, 1e9) == {"sent_at": sent_at}


def test_a_clock_that_was_put_back_does_not_send_earlier() -> None:
    assert sent_later({"sent_at": "2025-11-24T09:00:09Z"}, -5) == {"sent_at": "2025-11-24T09:00:09Z"}
