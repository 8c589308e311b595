"""Recall on the labelled corpus is 1.0, and nothing benign is changed; a second pass changes nothing more."""

from __future__ import annotations

import pytest
from benchmarks.redaction_corpus import Case, cases, judge, run

from mita_otel.redaction import Redactor

ALL = list(cases())


def test_the_corpus_is_large_enough_to_mean_something() -> None:
    assert len(ALL) >= 400
    assert sum(case.benign for case in ALL) >= 150
    assert len({case.kind for case in ALL}) >= 25


@pytest.mark.parametrize("case", ALL, ids=lambda case: f"{case.name}-{case.kind}")
def test_no_secret_of_the_corpus_leaves_and_nothing_benign_is_touched(case: Case, redactor: Redactor) -> None:
    outcome = judge(case, run(redactor, case))
    assert not outcome.leaked
    assert not outcome.lost


@pytest.mark.parametrize("case", ALL, ids=lambda case: f"{case.name}-{case.kind}")
def test_redacting_a_second_time_changes_nothing(case: Case, redactor: Redactor) -> None:
    once = run(redactor, case)
    if case.place == "attribute":
        twice = redactor.attributes(once)
    elif case.place == "bytes":
        twice = redactor.value("body", once)
    else:
        twice = run(redactor, case._replace(value=once))
    assert twice == once


def test_a_judge_that_finds_everything_safe_would_fail() -> None:
    """The corpus can fail: unredacted, all but a few of its secrets leak."""
    secret = [case for case in ALL if not case.benign and case.place == "text"]
    assert all(judge(case, case.value).leaked for case in secret)
