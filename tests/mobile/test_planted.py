"""A secret at any position of an envelope is redacted."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from exploring import examples
from mita_otel.mobile.envelope import (
    EnvelopeBounds,
    EnvelopeError,
    Item,
    parse_envelope,
    write_envelope,
    write_items,
)
from mita_otel.mobile.preparation import Preparer
from mita_otel.policy.mobile import READABLE_ITEMS
from mita_otel.redaction import Redactor
from mobile.kit import SHAPES, intake, policy_with, recorded

BOUNDS = EnvelopeBounds(1 << 20, 100)
PREPARER = Preparer(policy_with(), Redactor(), lambda *_: False)
PLANTED = {
    "paid with 4111 1111 1111 1111, thanks": "4111 1111",
    "Authorization: Bearer b7Gq0zXk4mP9vT2wL6nR8sD1": "b7Gq0zXk",
    "https://api.mita.example/pay?access_token=zq81Lmv0Xc": "zq81Lmv0Xc",
    '{"card": {"number": "5555555555554444", "cvc": "737"}}': "5555555555554444",
    "postgresql://mita:hunter2pass@db/pay": "hunter2pass",
}
"""Texts with a secret, and the part that must not leave."""

READABLE = [
    name
    for name in SHAPES
    if any(item.type in READABLE_ITEMS for item in parse_envelope(recorded(name), BOUNDS).items)
]


def places(value: Any) -> list[tuple[Any, Any]]:
    """Return every position in a JSON value: the container, and the key or index in it."""
    found: list[tuple[Any, Any]] = []
    members = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, member in list(members):
        found.append((value, key))
        found += places(member)
    return found


@given(st.data())
@settings(max_examples=examples(300))
def test_a_secret_at_any_position_of_an_envelope_is_redacted(data: st.DataObject) -> None:
    envelope = parse_envelope(recorded(data.draw(st.sampled_from(READABLE))), BOUNDS)
    text = data.draw(st.sampled_from(sorted(PLANTED)))
    position = data.draw(
        st.sampled_from([n for n, item in enumerate(envelope.items) if item.type in READABLE_ITEMS])
    )
    header, value = dict(envelope.header), json.loads(bytes(envelope.items[position].payload))
    owner, key = data.draw(st.sampled_from([place for part in (header, value) for place in places(part)]))
    how = data.draw(st.sampled_from(["instead", "behind", "as a name", "in a list"]))
    if how == "as a name" and isinstance(owner, dict):
        owner[text] = owner.pop(key)
    else:
        owner[key] = {"behind": f"{owner[key]} {text}", "in a list": [text, {"a": [text]}]}.get(how, text)
    items = [
        Item(item.header, json.dumps(value).encode()) if n == position else item
        for n, item in enumerate(envelope.items)
    ]
    try:
        prepared = PREPARER.prepare(intake(write_envelope(header, write_items(items))))
    except EnvelopeError:  # its id is invalid now: the envelope is refused
        return
    assert PLANTED[text] not in prepared.payload.decode() + json.dumps(prepared.header)
