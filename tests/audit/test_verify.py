"""Fifty kinds of tampering without the key, on both databases, are each found."""

from __future__ import annotations

import pytest

from audit import tampering_places, tampering_seals, tampering_within
from audit.ledger_to_tamper import Ledger
from audit.tampering import TAMPERINGS, Tampering, chains

KINDS = (tampering_within, tampering_places, tampering_seals)
"""Each module adds its kinds to `TAMPERINGS`."""


@pytest.mark.parametrize("tampering", TAMPERINGS, ids=lambda one: one.name)
def test_each_kind_of_tampering_is_reported(ledger: Ledger, tampering: Tampering) -> None:
    with ledger.tampering() as connection:
        tampering.act(connection, ledger)
    result = ledger.verify()
    reported = "\n".join(map(str, result.findings[:20]))
    assert set(result.faults) == set(tampering.faults), reported
    letters = {chain: letter for letter, chain in chains(ledger).items()}
    named = {(letters.get(one.chain, one.chain), one.sequence) for one in result.findings}
    assert named >= tampering.where, reported


def test_at_least_fifty_kinds_have_unique_names() -> None:
    assert len(TAMPERINGS) >= 50
    assert len({one.name for one in TAMPERINGS}) == len(TAMPERINGS)


def test_an_untouched_trail_verifies(ledger: Ledger) -> None:
    result = ledger.verify()
    assert result.findings == []
    assert result.ok
    assert (result.purged, result.erased, result.clock_steps) == (12, 14, 0)
    assert result.entries == 85
    assert result.anchors > 4
