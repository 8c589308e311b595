"""Environment variables set values, and invalid ones are reported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mita_otel import environment_variables
from mita_otel.policy import PolicyError, default_policy, load_policy
from mita_otel.policy.model import Policy
from mita_otel.policy.overrides import from_environment

DEFAULTS = default_policy().to_dict(only_given=True)


def values(**env: str) -> dict[str, Any]:
    source, problems = from_environment(env, Policy, DEFAULTS)
    assert not problems
    return source.tree


def test_values_are_parsed_by_the_type_of_the_setting() -> None:
    assert values(
        MITA_OTEL_SENTRY__MAX_SPANS=" 500 ",
        MITA_OTEL_SENTRY__CAPTURE_ERRORS="False",
        MITA_OTEL_EXPORT__FILE__PATH="2024",
        MITA_OTEL_EXPORT__TRACES="sentry, file,",
        MITA_OTEL_EXPORT__WITHOUT_DSN='["console"]',
        MITA_OTEL_THRESHOLDS__DATABASE__SELECT="0.5",
        MITA_OTEL_THRESHOLDS__DATABASE__INSERT="off",
        MITA_OTEL_INSTRUMENTATION__FASTAPI="off",
    ) == {
        "sentry": {"max_spans": 500, "capture_errors": False},
        "export": {"file": {"path": "2024"}, "traces": ["sentry", "file"], "without_dsn": ["console"]},
        "thresholds": {"database": {"SELECT": 0.5, "INSERT": "off"}},
        "instrumentation": {"fastapi": "off"},
    }


def test_a_variable_can_set_a_whole_table() -> None:
    assert values(MITA_OTEL_THRESHOLDS__API__ROUTES='{ "POST /api/auth/login" = 400 }') == {
        "thresholds": {"api": {"routes": {"POST /api/auth/login": 400}}}
    }


@pytest.mark.parametrize(
    "name",
    ["MITA_OTEL_THRESHOLDS__API__METHODS__GET", "MITA_OTEL_thresholds__api__methods__get"],
)
def test_names_of_variables_ignore_case_and_follow_the_policy(name: str) -> None:
    assert values(**{name: "5"}) == {"thresholds": {"api": {"methods": {"GET": 5}}}}


def test_verbs_become_upper_case_and_tables_lower_case() -> None:
    assert values(
        MITA_OTEL_THRESHOLDS__DATABASE__MERGE="5", MITA_OTEL_THRESHOLDS__DATABASE__PAYMENTS__SELECT="7"
    ) == {"thresholds": {"database": {"MERGE": 5, "payments": {"SELECT": 7}}}}


def test_free_names_become_lower_case() -> None:
    assert values(
        MITA_OTEL_THRESHOLDS__FINANCIAL__PAYMENT_PROCESSING="5",
        MITA_OTEL_REDACTION__MODES__EMAIL="mask",
        MITA_OTEL_THRESHOLDS__API__FINANCIAL__PATCH__LIMIT_MS="7",
    ) == {
        "thresholds": {
            "financial": {"payment_processing": 5},
            "api": {"financial": {"PATCH": {"limit_ms": 7}}},
        },
        "redaction": {"modes": {"email": "mask"}},
    }


def test_an_empty_variable_sets_nothing() -> None:
    assert values(MITA_OTEL_SENTRY__MAX_SPANS="", MITA_OTEL_FILE=" ", OTEL_TRACES_EXPORTER="") == {}


def test_dedicated_variables_take_precedence() -> None:
    assert values(
        OTEL_TRACES_EXPORTER="file,none",
        MITA_OTEL_EXPORT__TRACES="sentry",
        MITA_OTEL_FILE="here.jsonl",
        MITA_OTEL_EXPORT__FILE__PATH="there.jsonl",
    ) == {"export": {"traces": ["file", "none"], "file": {"path": "here.jsonl"}}}


@pytest.mark.parametrize(
    ("env", "said"),
    [
        (
            {"MITA_OTEL_THRESHOLDS__API__METHODS__GET": "fast"},
            'MITA_OTEL_THRESHOLDS__API__METHODS__GET: thresholds.api.methods.GET: "fast" is not a number of '
            'milliseconds above 0, "off", or a table; write it as in GET = 500',
        ),
        (
            {"MITA_OTEL_SENTRY__CAPTURE_ERRORS": "maybe"},
            'MITA_OTEL_SENTRY__CAPTURE_ERRORS: sentry.capture_errors: "maybe" is not true or false; '
            "write it as in capture_errors = true",
        ),
        (
            {"MITA_OTEL_EXPORT__QUEUE": "5"},
            "MITA_OTEL_EXPORT__QUEUE: export.queue: 5 is not a table; write [export.queue]",
        ),
        (
            {"MITA_OTEL_SENTRY__MAX_SPANZ": "5"},
            "MITA_OTEL_SENTRY__MAX_SPANZ: sentry.max_spanz: there is no such key; did you mean max_spans?",
        ),
        (
            {"MITA_OTEL_SENTRI__MAX_SPANS": "5"},
            "MITA_OTEL_SENTRI__MAX_SPANS: sentri: there is no such key; did you mean sentry?",
        ),
        (
            {"MITA_OTEL_POLICI": "x"},
            "MITA_OTEL_POLICI: there is no such variable; did you mean MITA_OTEL_POLICY?",
        ),
        (
            {"MITA_OTEL_THRESHOLDS__DATABASE": "{ SELECT = 1 }", "MITA_OTEL_THRESHOLDS__DATABASE__INSERT": "2"},
            "MITA_OTEL_THRESHOLDS__DATABASE__INSERT: MITA_OTEL_THRESHOLDS__DATABASE sets all of "
            "thresholds.database; unset one of the two",
        ),
        (
            {"MITA_OTEL_REDACTION__CUSTOM__MEMBER__PATTERN": "(a+)+b"},
            "MITA_OTEL_REDACTION__CUSTOM__MEMBER__PATTERN: redaction.custom.member.pattern: '(a+)+b' repeats a repeat, "
            "which can take exponential time; write the inner one with a fixed count",
        ),
    ],
)  # fmt: skip
def test_an_invalid_variable_is_reported_with_key_and_fix(
    tmp_path: Path, env: dict[str, str], said: str
) -> None:
    with pytest.raises(PolicyError) as caught:
        load_policy(env=env, folder=tmp_path)
    assert str(caught.value) == said


def test_an_unknown_variable_is_reported_with_the_known_ones(tmp_path: Path) -> None:
    known = (
        "MITA_OTEL_FILE, MITA_OTEL_HEALTH_TOKEN, MITA_OTEL_HMAC_KEY, MITA_OTEL_MOBILE_SPOOL, MITA_OTEL_POLICY"
    )
    with pytest.raises(PolicyError, match=known):
        load_policy(env={"MITA_OTEL_QQQQ": "x"}, folder=tmp_path)


def test_a_name_with_very_many_parts_is_an_unknown_variable(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="there is no such variable"):
        load_policy(env={"MITA_OTEL_" + "A__" * 5000 + "A": "x"}, folder=tmp_path)


def test_every_declared_variable_is_known() -> None:
    assert {"SENTRY_DSN", "MITA_OTEL_POLICY", "OTEL_CONFIG_FILE"} <= environment_variables.names()
    assert "MITA_OTEL_" not in environment_variables.names()
    every = {name: "x" for name in environment_variables.names() if name.startswith("MITA_OTEL_")}
    assert from_environment(every, Policy, DEFAULTS)[1] == []


def test_sentrys_sample_rate_sets_the_ratio_of_healthy_traces() -> None:
    assert values(SENTRY_TRACES_SAMPLE_RATE="0.25") == {"sampling": {"ratio": 0.25, "mode": "tail"}}
    assert values(SENTRY_TRACES_SAMPLE_RATE="0.25", MITA_OTEL_SAMPLING__MODE="head") == {
        "sampling": {"ratio": 0.25, "mode": "head"}
    }
    policy = load_policy(environment="development", env={"SENTRY_TRACES_SAMPLE_RATE": "0.5"})
    assert (policy.sampling.mode, policy.sampling.ratio) == ("tail", 0.5)


@pytest.mark.parametrize("rate", ["2", "-0.1", "half", "10%"])
def test_an_invalid_rate_is_refused_with_the_name_of_its_variable(rate: str) -> None:
    with pytest.raises(PolicyError, match="SENTRY_TRACES_SAMPLE_RATE"):
        load_policy(env={"SENTRY_TRACES_SAMPLE_RATE": rate})
