"""Recall and false positives on the labelled corpus, by kind. Exits 1 below the goal: recall 1, no false positive."""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.redaction_corpus import Case, Outcome, cases, judge, run

from mita_otel.policy import default_policy
from mita_otel.redaction import Redactor


class Score(NamedTuple):
    """How one kind of case did."""

    cases: int
    failed: int


def outcomes(redactor: Redactor) -> list[tuple[Case, Outcome]]:
    """Return every case with what became of it."""
    return [(case, judge(case, run(redactor, case))) for case in cases()]


def scores(results: list[tuple[Case, Outcome]], *, benign: bool) -> dict[str, Score]:
    """Return, by kind, how many cases there were and how many leaked, or were changed if benign."""
    totals: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for case, outcome in results:
        if case.benign is benign:
            totals[case.kind][0] += 1
            totals[case.kind][1] += bool(outcome.leaked)
    return {kind: Score(*totals[kind]) for kind in sorted(totals)}


def main() -> int:
    """Print the report."""
    results = outcomes(Redactor(default_policy().redaction))
    secret, benign = scores(results, benign=False), scores(results, benign=True)
    print(f"{'secrets':<16}{'cases':>7}{'found':>7}{'recall':>9}")
    for kind, score in (*secret.items(), ("all", _total(secret))):
        found = score.cases - score.failed
        print(f"{kind:<16}{score.cases:>7}{found:>7}{found / score.cases:>9.3f}")
    print(f"\n{'benign':<16}{'cases':>7}{'false positives':>17}")
    for kind, score in (*benign.items(), ("all", _total(benign))):
        print(f"{kind:<16}{score.cases:>7}{score.failed:>17}")
    failures = [(case, outcome) for case, outcome in results if outcome.leaked or outcome.lost]
    for case, outcome in failures:
        what = "changed" if case.benign else ("leaked" if outcome.leaked else "damaged")
        print(f"\n{case.name} {what}: {outcome.leaked or outcome.lost} in {outcome.shown!r}")
    return 1 if failures else 0


def _total(by_kind: dict[str, Score]) -> Score:
    return Score(
        sum(score.cases for score in by_kind.values()), sum(score.failed for score in by_kind.values())
    )


if __name__ == "__main__":
    raise SystemExit(main())
