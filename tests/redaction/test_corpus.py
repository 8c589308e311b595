"""Recall on the labelled corpus is 1.0, nothing benign is changed, and a second pass changes nothing more.

The cases of one kind are one test, whose failure lists every failing case: thousands of parametrised cases
would take longer to collect than to run.
"""

from __future__ import annotations

from typing import Any

import pytest
from benchmarks.redaction_corpus import Case, cases, judge, run

from mita_otel.redaction import Redactor

ALL = list(cases())
KINDS = sorted({(case.kind, case.benign) for case in ALL})


def of_kind(kind: str, *, benign: bool) -> list[Case]:
    return [case for case in ALL if case.kind == kind and case.benign is benign]


def again(redactor: Redactor, case: Case, once: Any) -> Any:
    """Return the result of a second pass over the result of the first."""
    if case.place == "attribute":
        return redactor.attributes(once)
    if case.place == "bytes":
        return redactor.value("body", once)
    return run(redactor, case._replace(value=once))


def test_the_corpus_has_a_minimum_size_and_variety() -> None:
    assert len(ALL) >= 2000
    assert sum(case.benign for case in ALL) >= 850
    assert len({case.kind for case in ALL}) >= 30


def test_every_case_belongs_to_one_tested_kind() -> None:
    assert sorted(case for kind, benign in KINDS for case in of_kind(kind, benign=benign)) == sorted(ALL)


@pytest.mark.parametrize(("kind", "benign"), KINDS, ids=lambda it: it if isinstance(it, str) else "")
def test_secrets_are_redacted_and_benign_texts_are_unchanged(
    kind: str, benign: bool, redactor: Redactor
) -> None:
    outcomes = [(case, judge(case, run(redactor, case))) for case in of_kind(kind, benign=benign)]
    failures = [
        f"{case.name}: {outcome.leaked or outcome.lost} in {outcome.shown!r}"
        for case, outcome in outcomes
        if outcome.leaked or outcome.lost
    ]
    assert not failures, "\n".join(["", *failures])


@pytest.mark.parametrize(("kind", "benign"), KINDS, ids=lambda it: it if isinstance(it, str) else "")
def test_redacting_a_second_time_changes_nothing(kind: str, benign: bool, redactor: Redactor) -> None:
    failures = []
    for case in of_kind(kind, benign=benign):
        once = run(redactor, case)
        twice = again(redactor, case, once)
        if twice != once:
            failures.append(f"{case.name}: {once!r} becomes {twice!r}")
    assert not failures, "\n".join(["", *failures])


def test_unredacted_secrets_are_reported_as_leaks() -> None:
    """Unredacted, every secret of the corpus in a text leaks."""
    secret = [case for case in ALL if not case.benign and case.place == "text"]
    assert all(judge(case, case.value).leaked for case in secret)
