"""Legal holds: placed with a reason, released by name, never forgotten."""

from __future__ import annotations

from pathlib import Path

import pytest

from mita_otel.retention.holds import LegalHoldError
from retention.kit import NOW_NS, store


def test_a_hold_is_placed_and_released_and_both_are_entries(tmp_path: Path, database_url: str) -> None:
    with store(tmp_path, database_url) as kept:
        kept.kit.ledger.add([])
        hold = kept.holds.place(reason="case 7", by="counsel", data_class="audit", from_ns=NOW_NS)
        assert kept.holds.all() == [hold]
        kept.holds.release(hold.id, by="judge")
        assert kept.holds.all() == []
        [released] = kept.holds.all(released=True)
        assert (released.released_by, released.released_ns) == ("judge", NOW_NS)
        assert kept.kit.trail.flush(60)
        assert kept.kit.rows("event_type, user_id, resource_id", "resource_type = 'legal_hold'") == [
            ("legal_hold_create", "counsel", hold.id),
            ("legal_hold_release", "judge", hold.id),
        ]


def test_what_cannot_be_held_is_refused_in_words(tmp_path: Path) -> None:
    with store(tmp_path) as kept:
        kept.kit.ledger.add([])
        with pytest.raises(LegalHoldError, match=r"'logs' is not a class of data; use one of audit, errors"):
            kept.holds.place(reason="case 7", by="counsel", data_class="logs")
        with pytest.raises(LegalHoldError, match=r"needs a reason"):
            kept.holds.place(reason=" ", by="counsel")
        with pytest.raises(LegalHoldError, match=r"there is no legal hold hold-1"):
            kept.holds.release("hold-1", by="counsel")
        hold = kept.holds.place(reason="case 7", by="counsel")
        kept.holds.release(hold.id, by="counsel")
        with pytest.raises(LegalHoldError, match=r"released already, by counsel"):
            kept.holds.release(hold.id, by="counsel")


def test_the_entry_about_a_hold_does_not_name_the_person(tmp_path: Path) -> None:
    with store(tmp_path) as kept:
        kept.kit.ledger.add([])
        kept.holds.place(reason="case 7", by="counsel", user_id="u1")
        assert kept.kit.trail.flush(60)
        assert all('"u1"' not in body for (body,) in kept.kit.rows("body || coalesce(personal, '')"))
