"""Explains a verdict: which rule hides what, and why. The logic of `mita-otel redact --explain`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from mita_otel.redaction.redactor import Redactor


class Finding(NamedTuple):
    """One stretch of a value that is hidden."""

    rule: str
    start: int
    end: int


class Explanation(NamedTuple):
    """Why a value comes out as it does."""

    key: str
    by_key: str | None
    """The rule that makes every value under this name secret, or None."""
    by_value: tuple[Finding, ...]
    """What the value itself gives away, where it is not nested."""
    result: Any
    """What comes out."""
    rules: dict[str, int]
    """How many values were redacted, by rule."""

    def lines(self) -> list[str]:
        """Return the explanation as lines to print. They do not repeat the secret."""
        lines: list[str] = []
        if self.by_key:
            lines.append(f"key {self.key!r}: its words name a secret (rule {self.by_key})")
        elif self.key:
            lines.append(f"key {self.key!r}: says nothing about its value")
        lines.extend(
            f"value, characters {f.start} to {f.end}: looks like a secret (rule {f.rule})"
            for f in self.by_value
        )
        if not self.rules:
            lines.append("nothing is redacted")
        counts = ", ".join(f"{rule} {count}" for rule, count in sorted(self.rules.items()))
        lines.extend([f"redacted: {counts}"] if counts else [])
        lines.append(f"result: {self.result}")
        return lines


def explain(redactor: Redactor, key: str, value: str) -> Explanation:
    """Return why `value` under `key` comes out as it does.

    Args:
        redactor: The redactor in question.
        key: Name of an attribute; empty for a text without one.
        value: Its value.
    """
    tally: Counter[str] = Counter()
    result = redactor.value(key, value, tally)
    findings = tuple(Finding(rule, start, end) for start, end, rule in redactor.find(value))
    return Explanation(key, redactor.keys.judge(key).rule if key else None, findings, result, dict(tally))


def parse_pair(argument: str) -> tuple[str, str]:
    """Return the key and the value of `--explain key=value`; a text without `=` has no key."""
    key, sign, value = argument.partition("=")
    return (key.strip(), value) if sign and key.strip() and " " not in key.strip() else ("", argument)


def redact_lines(
    redactor: Redactor, lines: Iterable[str], tally: Counter[str] | None = None
) -> Iterator[str]:
    """Yield each line of a file or of stdin without its secrets, line ends kept."""
    for line in lines:
        body = line.rstrip("\r\n")
        yield redactor.text(body, tally) + line[len(body) :]
