"""TOML values become sections; every invalid value is reported with its key."""

from datetime import date
from typing import Any

import pytest

from mita_otel.policy import PolicyError, default_policy
from mita_otel.policy.conversion import convert, fits, read
from mita_otel.policy.errors import Mismatch
from mita_otel.policy.limits import AdaptiveLimit
from mita_otel.policy.mobile import MobilePolicy
from mita_otel.policy.section import Bounds, Section
from mita_otel.policy.thresholds import ThresholdPolicy

ADAPTIVE = {"follow": "p99 * 1.5", "floor_ms": 1, "ceiling_ms": 2}


class Kinds(Section):
    """A section with a setting of each type."""

    flag: bool = False
    count: int = 0
    number: float = 0.0
    text: str = ""
    optional: str | None = None
    names: tuple[str, ...] = ()
    free: dict[str, int] = {}  # noqa: RUF012 - never changed


@pytest.mark.parametrize(
    ("name", "value", "converted"),
    [
        ("flag", True, True),
        ("count", 5, 5),
        ("number", 5, 5.0),
        ("number", 0.5, 0.5),
        ("text", "x", "x"),
        ("text", date(2024, 2, 1), "2024-02-01"),
        ("optional", "x", "x"),
        ("optional", None, None),
        ("names", ["a", "b"], ("a", "b")),
        ("free", {"a": 1}, {"a": 1}),
    ],
)
def test_a_valid_value_is_converted(name: str, value: Any, converted: Any) -> None:
    result = getattr(convert(Kinds, {name: value}), name)
    assert result == converted
    assert type(result) is type(converted)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("flag", 1),
        ("flag", "true"),
        ("count", True),
        ("count", 1.0),
        ("count", "1"),
        ("number", True),
        ("number", "1"),
        ("number", float("inf")),
        ("number", float("nan")),
        ("number", 10**400),
        ("text", 5),
        ("text", None),
        ("optional", 5),
        ("names", "a"),
        ("names", {}),
        ("free", []),
    ],
)
def test_a_value_of_another_type_is_reported(name: str, value: Any) -> None:
    section, mismatches = read(Kinds, {name: value})
    assert section is None
    assert [(one.key, one.reason) for one in mismatches] == [((name,), "wrong value")]


def test_every_mismatch_is_reported_at_once() -> None:
    _, mismatches = read(
        Kinds, {"flag": 1, "names": ["a", 5, "b", 6], "free": {"x": "1", "y": 2}, "other": 1}
    )
    assert mismatches == [
        Mismatch(("other",), "unknown key"),
        Mismatch(("flag",), "wrong value", 1),
        Mismatch(("names", "1"), "wrong value", 5),
        Mismatch(("names", "3"), "wrong value", 6),
        Mismatch(("free", "x"), "wrong value", "1"),
    ]


def test_convert_raises_with_every_key() -> None:
    with pytest.raises(PolicyError) as caught:
        convert(Kinds, {"flag": 1, "texd": "x"})
    assert str(caught.value).split("\n") == [
        "texd: there is no such key; did you mean text?",
        "flag: 1 is not true or false; write it as in flag = true",
    ]


def test_a_section_object_is_kept() -> None:
    limit = convert(AdaptiveLimit, ADAPTIVE)
    assert convert(AdaptiveLimit, limit) is limit


def test_a_table_becomes_an_adaptive_limit_or_limits_of_a_database_table() -> None:
    tree = default_policy().thresholds.to_dict()
    tree["database"] = {"SELECT": ADAPTIVE, "payments": {"SELECT": 5, "INSERT": ADAPTIVE}, "empty": {}}
    database = convert(ThresholdPolicy, tree).database
    adaptive = convert(AdaptiveLimit, ADAPTIVE)
    assert database == {"SELECT": adaptive, "payments": {"SELECT": 5.0, "INSERT": adaptive}, "empty": {}}


def test_the_check_of_a_section_reports_the_invalid_keys() -> None:
    tree = default_policy().mobile.to_dict()
    app = {"id": "42", "keys": ["0123456789abcdef"], "store": True}
    tree["projects"] = {"app": app, "other": app}
    tree["items"] = {
        "attachment": {"action": "forward", "priority": "debug"},
        "picture": {"action": "refuse", "priority": "debug"},
    }
    _, mismatches = read(MobilePolicy, tree)
    assert [one.key for one in mismatches] == [
        ("projects", "other", "id"),
        ("items", "attachment"),
        ("items", "picture"),
    ]


@pytest.mark.parametrize(
    ("bounds", "inside", "outside"),
    [
        (Bounds(gt=0), [0.1, 5], [0, -1]),
        (Bounds(ge=1, le=3), [1, 3], [0, 4]),
        (Bounds(lt=1), [0.9], [1]),
        (Bounds(min_length=1, max_length=2), ["a", "ab", ("a",)], ["", "abc", ()]),
        (Bounds(pattern="^a"), ["ab"], ["ba"]),
    ],
)
def test_bounds_allow_values_inside_only(bounds: Bounds, inside: list[Any], outside: list[Any]) -> None:
    assert all(map(bounds.allow, inside))
    assert not any(map(bounds.allow, outside))


def test_fits_compares_a_value_with_a_type() -> None:
    assert fits(str, "x") and not fits(str, 5)
