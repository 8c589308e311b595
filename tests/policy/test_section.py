"""Sections are immutable records of their settings."""

from __future__ import annotations

import pickle

import pytest

from mita_otel.policy import default_policy
from mita_otel.policy.alerts import EscalationStep
from mita_otel.policy.channels import ChannelPolicy
from mita_otel.policy.conversion import convert
from mita_otel.policy.limits import BurnWindow
from mita_otel.policy.model import Policy
from mita_otel.policy.section import Section, docstrings_of, types_of

WINDOW = BurnWindow(long_s=3600, short_s=300, burn_rate=2.0, severity="page")
CHANNEL = ChannelPolicy(kind="slack", variable="X")


def test_an_omitted_setting_has_the_default_of_its_class() -> None:
    assert (CHANNEL.to, CHANNEL.instead) == ((), "")
    assert CHANNEL.to_dict(only_given=True) == {"kind": "slack", "variable": "X"}
    assert CHANNEL.to_dict()["to"] == []


def test_a_setting_can_be_neither_changed_nor_deleted() -> None:
    with pytest.raises(AttributeError, match=r"use replace\(kind=...\)"):
        CHANNEL.kind = "email"  # type: ignore[misc]
    with pytest.raises(AttributeError, match="ChannelPolicy is immutable"):
        del CHANNEL.kind


def test_the_constructor_names_settings_that_are_unknown_or_missing() -> None:
    with pytest.raises(TypeError, match="ChannelPolicy has no setting colour, shape"):
        ChannelPolicy(kind="slack", variable="X", shape=1, colour=2)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="EscalationStep needs after_minutes, channels"):
        EscalationStep()  # type: ignore[call-arg]


def test_the_constructor_refuses_settings_that_do_not_fit_together() -> None:
    with pytest.raises(ValueError, match="is not shorter than"):
        BurnWindow(long_s=300, short_s=300, burn_rate=2.0, severity="page")


def test_replace_returns_a_copy_and_checks_it() -> None:
    assert WINDOW.replace(burn_rate=3.0) == BurnWindow(
        long_s=3600, short_s=300, burn_rate=3.0, severity="page"
    )
    assert WINDOW.burn_rate == 2.0
    with pytest.raises(ValueError, match="is not shorter than"):
        WINDOW.replace(short_s=3600)
    with pytest.raises(TypeError, match="has no setting burn"):
        WINDOW.replace(burn=1)


def test_equality_is_by_value_and_by_class() -> None:
    same = BurnWindow(long_s=3600, short_s=300, burn_rate=2.0, severity="page")
    assert same == WINDOW and hash(same) == hash(WINDOW)
    assert WINDOW.replace(long_s=7200) != WINDOW
    assert ChannelPolicy(kind="slack", variable="X", to=()) == CHANNEL
    assert WINDOW != CHANNEL


def test_the_representation_shows_every_setting() -> None:
    assert repr(WINDOW) == "BurnWindow(long_s=3600, short_s=300, burn_rate=2.0, severity='page')"


def test_a_policy_can_be_pickled() -> None:
    policy = default_policy()
    copy = pickle.loads(pickle.dumps(policy))  # noqa: S301 - our own
    assert copy == policy


def test_a_policy_as_a_dictionary_converts_back() -> None:
    policy = default_policy("staging")
    assert convert(Policy, policy.to_dict()) == policy


def test_docstrings_are_found_below_their_settings() -> None:
    docstrings = docstrings_of(BurnWindow)
    assert list(docstrings) == list(types_of(BurnWindow))
    assert docstrings["severity"].startswith("Whether")


def test_string_annotations_are_refused() -> None:
    with pytest.raises(TypeError, match="the types of limit are texts; remove `from __future__"):
        type("Late", (Section,), {"__annotations__": {"limit": "int"}})
