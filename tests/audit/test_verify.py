"""Fifty kinds of tampering, on both databases, by somebody who may do anything but has no key: each is found."""

from __future__ import annotations

import pytest

from audit import tampering_places, tampering_seals, tampering_within
from audit.ledger_to_tamper import Ledger
from audit.tampering import TAMPERINGS, Tampering, chains

KINDS = (tampering_within, tampering_places, tampering_seals)
"""Each module adds its kinds to `TAMPERINGS`."""


@pytest.mark.parametrize("tampering", TAMPERINGS, ids=lambda one: one.name)
def test_a_tampering_is_found_and_named(ledger: Ledger, tampering: Tampering) -> None:
    with ledger.tampering() as connection:
        tampering.act(connection, ledger)
    result = ledger.verify()
    told = "\n".join(map(str, result.findings[:20]))
    assert set(result.faults) == set(tampering.faults), told
    letters = {chain: letter for letter, chain in chains(ledger).items()}
    named = {(letters.get(one.chain, one.chain), one.sequence) for one in result.findings}
    assert named >= tampering.where, told


def test_there_are_fifty_kinds() -> None:
    assert len(TAMPERINGS) >= 50
    assert len({one.name for one in TAMPERINGS}) == len(TAMPERINGS)


def test_what_nobody_touched_verifies(ledger: Ledger) -> None:
    result = ledger.verify()
    assert result.findings == []
    assert result.ok
    assert (result.purged, result.erased, result.clock_steps) == (12, 14, 0)
    assert result.entries == 85
    assert result.anchors > 4
