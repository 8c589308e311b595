"""Each problem is attributed to the source and key of the value, however the sources are merged."""

from __future__ import annotations

from typing import Any

import pytest

from mita_otel.policy import default_policy
from mita_otel.policy.composing import compose
from mita_otel.policy.sources import Source

DEFAULTS = Source("defaults", default_policy().to_dict(only_given=True))


def blamed(environment: str, *trees: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the source and the key of each fault of the defaults with these trees, named a, b and so on."""
    sources = [Source(name, tree) for name, tree in zip("abc", trees, strict=False)]
    faults = compose([DEFAULTS, *sources], environment).faults
    return [(fault.source.name, ".".join(fault.key)) for fault in faults]


BAD = {"sentry": {"max_spans": 0}}
GOOD = {"sentry": {"max_spans": 5}}


def overlay(tree: dict[str, Any], name: str = "qa") -> dict[str, Any]:
    return {"environments": {name: tree}}


@pytest.mark.parametrize(
    ("trees", "expected"),
    [
        ([BAD], [("a", "sentry.max_spans")]),
        ([overlay(BAD)], [("a", "environments.qa.sentry.max_spans")]),
        ([{**GOOD, **overlay(BAD)}], [("a", "environments.qa.sentry.max_spans")]),
        ([{**BAD, **overlay(GOOD)}], []),
        ([overlay(BAD, "staging")], []),
        ([GOOD, BAD], [("b", "sentry.max_spans")]),
        ([BAD, GOOD], []),
        ([overlay(BAD), BAD], [("b", "sentry.max_spans")]),
        ([{"sentry": {"max_spanz": 1}}, GOOD], [("a", "sentry.max_spanz")]),
        ([{"sentri": {}}], [("a", "sentri")]),
        ([overlay({"sentri": {}})], [("a", "environments.qa.sentri")]),
        ([{"sentry": 5}], [("a", "sentry")]),
        ([overlay({"export": {"queue": 5}})], [("a", "environments.qa.export.queue")]),
        ([{"redaction": {"keys": {"allow": ["a", 5]}}}], [("a", "redaction.keys.allow.1")]),
        ([GOOD, overlay({"redaction": {"keys": {"allow": [5]}}})], [("b", "environments.qa.redaction.keys.allow.0")]),
        ([{"thresholds": {"api": {"financial": {"PATCH": {"limit_ms": 5}}}}}], [("a", "thresholds.api.financial.PATCH")]),
        ([{"thresholds": {"api": {"methods": {"GETT": 5}}}}], [("a", "thresholds.api.methods.GETT")]),
        ([{"environments": 5}], [("a", "environments")]),
        ([overlay({}, "x"), {"environments": {"qa": 5}}], [("b", "environments.qa")]),
    ],
)  # fmt: skip
def test_a_problem_is_attributed_to_the_source_and_key_of_the_value(
    trees: list[dict[str, Any]], expected: list[tuple[str, str]]
) -> None:
    assert blamed("qa", *trees) == expected


RULE = {"title": "x", "on": ["errors"], "count": 1, "window_s": 60, "urgency": "info", "channels": []}


def test_a_problem_of_two_sources_is_attributed_to_each_invalid_key() -> None:
    weak = {"alerts": {"rules": {"mine": {**RULE, "channels": ["nowhere"]}}}}
    strong = overlay({"alerts": {"rules": {"mine": {"escalation": "absent"}}}})
    assert blamed("qa", weak, strong) == [
        ("a", "alerts.rules.mine.channels.0"),
        ("b", "environments.qa.alerts.rules.mine.escalation"),
    ]


def test_an_inconsistent_table_is_attributed_to_its_last_source() -> None:
    weak = {"alerts": {"channels": {"ops": {"kind": "email", "to": ["a@bank.example"]}}}}
    strong = overlay({"alerts": {"channels": {"ops": {"to": []}}}})
    assert blamed("qa", weak, strong) == [("b", "environments.qa.alerts.channels.ops")]
