"""Each entry of a chain names the previous one; if the clock steps back, the difference is recorded."""

from __future__ import annotations

import json

import pytest

from mita_otel.audit.canonical import UNKEYED, AuditKeys, canonical
from mita_otel.audit.chain import Chain, SealedEntry, genesis
from mita_otel.audit.draft import Draft, Personal
from mita_otel.errors import ConfigurationError

KEYS = AuditKeys(b"k" * 32)


def sealed(chain: Chain, count: int, **fields: object) -> list[SealedEntry]:
    entries = []
    for number in range(count):
        entry, place = chain.seal(Draft({"type": "a", "n": number, **fields}, None), chain.head)
        chain.advance(place)
        entries.append(entry)
    return entries


def test_each_entry_contains_the_signature_of_the_previous_one() -> None:
    chain = Chain(KEYS)
    entries = sealed(chain, 3)
    assert [entry.fields["sequence"] for entry in entries] == [0, 1, 2]
    assert entries[0].fields["previous"] == genesis(KEYS, chain.id, KEYS.current_id)
    assert [entry.fields["previous"] for entry in entries[1:]] == [entry.mac for entry in entries[:-1]]
    assert all(KEYS.verify("entry", entry.body, entry.mac, entry.key_id) for entry in entries)


def test_sealing_does_not_change_the_head() -> None:
    chain = Chain(KEYS)
    before = chain.head
    chain.seal(Draft({"type": "a"}, None), chain.head)
    assert chain.head == before


def test_a_clock_that_steps_back_reuses_the_last_time_and_is_recorded() -> None:
    times = iter([10**18, 10**18 + 5_000_000_000, 10**18 + 1_000_000_000, 10**18 + 6_000_000_000])
    chain = Chain(KEYS, clock_ns=lambda: next(times))  # the first time is used for the chain's id
    first, second, third = (entry.fields for entry in sealed(chain, 3))
    assert second["recorded_ns"] == first["recorded_ns"] + 1
    assert second["clock_behind_ns"] == 4_000_000_001
    assert "clock_behind_ns" not in first
    assert "clock_behind_ns" not in third


def test_entries_of_a_coarse_clock_have_increasing_times() -> None:
    chain = Chain(KEYS, clock_ns=lambda: 10**18)
    times = [entry.fields["recorded_ns"] for entry in sealed(chain, 100)]
    assert times == sorted(set(times))
    assert not any("clock_behind_ns" in entry.fields for entry in sealed(chain, 100))


@pytest.mark.parametrize(
    ("field", "value"),
    [("recorded_ns", 2**63), ("recorded_ns", -1), ("sequence", 2**63), ("sequence", -1)],
)
def test_a_line_with_numbers_too_large_for_a_column_is_not_an_entry(field: str, value: int) -> None:
    """Such a row would fail in every insert, and block all later entries."""
    chain = Chain(KEYS)
    entry, _ = chain.seal(Draft({"type": "a", "outcome": "success", "service": "s"}, None), chain.head)
    body = canonical({**entry.fields, field: 2**63 - 1})
    assert SealedEntry.from_line(SealedEntry(body, entry.mac, entry.key_id, None).line()).body == body
    fields = {**entry.fields, field: value}
    body = json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()
    with pytest.raises(ValueError, match="not a line of the audit spool"):
        SealedEntry.from_line(SealedEntry(body, entry.mac, entry.key_id, None).line())


def test_a_line_reads_back_as_the_entry() -> None:
    chain = Chain(KEYS)
    draft = Draft(
        {"type": "a", "outcome": "success", "service": "tab\t line\n"}, Personal.seal({"user_id": "ü b\t"})
    )
    entry, _ = chain.seal(draft, chain.head)
    assert SealedEntry.from_line(entry.line()) == entry
    assert entry.line().count(b"\n") == 1


@pytest.mark.parametrize("cut", [1, 40, 100, 200])
def test_a_truncated_line_is_not_a_valid_entry(cut: int) -> None:
    [entry] = sealed(Chain(KEYS), 1)
    for part in (entry.line()[:-cut], entry.line()[cut:]):
        try:
            found = SealedEntry.from_line(part)
        except ValueError:
            continue
        # A part that still has four fields has another signature.
        assert not KEYS.verify("entry", found.body, found.mac, found.key_id)


def test_a_signature_is_valid_for_its_purpose_and_key_only() -> None:
    signature = KEYS.sign("entry", b"m")
    assert KEYS.verify("entry", b"m", signature, KEYS.current_id)
    assert not KEYS.verify("anchor", b"m", signature, KEYS.current_id)
    assert not KEYS.verify("entry", b"m", signature, "another")
    assert not KEYS.verify("entry", b"m", "not hexadecimal \udc80", KEYS.current_id)


def test_a_former_key_verifies_and_does_not_sign() -> None:
    signature = AuditKeys(b"old" * 8).sign("entry", b"m")
    old_id = AuditKeys(b"old" * 8).current_id
    rotated = AuditKeys.from_environment(
        {"MITA_OTEL_AUDIT_KEY": "new" * 8, "MITA_OTEL_AUDIT_OLD_KEYS": "x" * 16 + " ," + "old" * 8}
    )
    assert rotated.verify("entry", b"m", signature, old_id)
    assert rotated.current_id != old_id
    assert not AuditKeys(b"new" * 8).knows(old_id)


def test_without_a_key_the_chain_is_unkeyed() -> None:
    keys = AuditKeys.from_environment({})
    assert (keys.current_id, keys.keyed, keys.expects_keys) == (UNKEYED, False, False)
    assert AuditKeys(None, [b"k" * 16]).expects_keys


@pytest.mark.parametrize("name", ["MITA_OTEL_AUDIT_KEY", "MITA_OTEL_AUDIT_OLD_KEYS"])
def test_a_short_key_is_refused_with_the_name_of_its_variable(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} has a key of 5 characters"):
        AuditKeys.from_environment({name: "short"})
