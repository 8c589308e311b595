"""The labelled corpus in tests/redaction/corpus, and what it means to pass a case of it.

One JSON object a line: `place` says which method gets the `value`; a case with `secrets` passes if none of
them is in what comes out and all of `keeps` are; a case without passes if what comes out equals what went
in. `{+}` in a string stands for nothing: it keeps made-up API keys from looking real to secret scanners.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from mita_otel.redaction import Redactor

CORPUS = Path(__file__).parent.parent / "tests" / "redaction" / "corpus"


class Case(NamedTuple):
    """One line of the corpus."""

    name: str
    kind: str
    place: str
    value: Any
    secrets: tuple[str, ...] = ()
    keeps: tuple[str, ...] = ()
    key: str | None = None
    dialect: str | None = None

    @property
    def benign(self) -> bool:
        """Tell whether the case holds no secret."""
        return not self.secrets


class Outcome(NamedTuple):
    """What became of a case."""

    leaked: tuple[str, ...]
    """Secrets that came out; for a benign case, what is different."""
    lost: tuple[str, ...]
    """What should have been kept."""
    shown: str
    """What came out."""


def cases() -> Iterator[Case]:
    """Yield every case of the corpus."""
    for path in sorted(CORPUS.glob("*.jsonl")):
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            entry = json.loads(line.replace("{+}", ""))
            yield Case(
                name=f"{path.stem}:{number}",
                kind=entry["kind"],
                place=entry["place"],
                value=entry["value"],
                secrets=tuple(entry.get("secrets", ())),
                keeps=tuple(entry.get("keeps", ())),
                key=entry.get("key"),
                dialect=entry.get("dialect"),
            )


def run(redactor: Redactor, case: Case) -> Any:
    """Return what the redactor makes of a case's value."""
    match case.place:
        case "text":
            return redactor.text(case.value)
        case "url":
            return redactor.url(case.value)
        case "sql":
            return redactor.sql(case.value, dialect=case.dialect)
        case "bytes":
            return redactor.value("body", case.value.encode())
        case "attribute":
            return redactor.attributes({str(case.key): case.value})
        case "attributes":
            return redactor.attributes(case.value)
        case "event":
            return redactor.event(case.value)
    raise ValueError(f"{case.name}: {case.place!r} is not a place")


def judge(case: Case, result: Any) -> Outcome:
    """Compare what came out with what should have."""
    shown = result if isinstance(result, str) else repr(result)
    if case.benign:
        before: Any = case.value
        if case.place == "attribute":
            before = {case.key: case.value}
        elif case.place == "bytes":
            before = case.value.encode()
        return Outcome(() if result == before else (shown,), (), shown)
    searched = shown
    if isinstance(result, dict) and case.key is not None:
        searched = repr(list(result.values()))
    leaked = tuple(secret for secret in case.secrets if secret in searched)
    lost = tuple(keep for keep in case.keeps if keep not in shown)
    return Outcome(leaked, lost, shown)
