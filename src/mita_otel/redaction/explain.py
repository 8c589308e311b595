"""Explains a verdict: which rule redacts which part, and why. Used by `mita-otel redact --explain`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from mita_otel.redaction.marker import MARKER
from mita_otel.redaction.redactor import Redactor


class RedactedPart(NamedTuple):
    """A redacted part of a text."""

    rule: str
    start: int
    end: int


class Member(NamedTuple):
    """A value inside a nested value that is redacted, or a part of it."""

    path: str
    """Its path, as in `$.cards[0].number`."""
    markers: tuple[str, ...]
    """The replacements in it."""


class Explanation(NamedTuple):
    """Why a value is redacted or not."""

    key: str
    by_key: str | None
    """The rule that makes every value under this name secret, or None."""
    place: str
    """How the value is read: `text`, `sql` or `url`."""
    by_value: tuple[RedactedPart, ...]
    """Secrets that were found in a flat text."""
    members: tuple[Member, ...]
    """Redacted members of a nested value."""
    result: Any
    """The redacted value."""
    rules: dict[str, int]
    """How many values were redacted, by rule."""

    def lines(self) -> list[str]:
        """Return the explanation as lines to print. They do not repeat the secret."""
        lines: list[str] = []
        if self.by_key:
            lines.append(f"key {self.key!r}: its words name a secret (rule {self.by_key})")
        elif self.place == "sql":
            lines.append(f"key {self.key!r}: holds a database statement; its literals are masked (rule sql)")
        elif self.key:
            lines.append(f"key {self.key!r}: is not sensitive")
        lines.extend(
            f"value, characters {f.start} to {f.end}: looks like a secret (rule {f.rule})"
            for f in self.by_value
        )
        lines.extend(f"value, at {member.path}: {', '.join(member.markers)}" for member in self.members)
        if not self.rules:
            lines.append("nothing is redacted")
        counts = ", ".join(f"{rule} {count}" for rule, count in sorted(self.rules.items()))
        lines.extend([f"redacted: {counts}"] if counts else [])
        lines.append(f"result: {self.result}")
        return lines


def explain(redactor: Redactor, key: str, value: str) -> Explanation:
    """Return why `value` under `key` is redacted or not.

    Args:
        redactor: The redactor in question.
        key: Name of an attribute; empty for a text without one.
        value: Its value.
    """
    tally: Counter[str] = Counter()
    result = redactor.value(key, value, tally)
    verdict = redactor.keys.judge(key)
    before, after = _parsed(value), _parsed(result)
    nested = isinstance(before, (dict, list))
    flat = not nested and verdict.rule is None and verdict.place != "sql"
    return Explanation(
        key=key,
        by_key=verdict.rule if key else None,
        place=verdict.place,
        by_value=tuple(RedactedPart(rule, start, end) for start, end, rule in redactor.find(value))
        if flat
        else (),
        members=tuple(_members("$", before, after)) if nested and tally else (),
        result=result,
        rules=dict(tally),
    )


def parse_pair(argument: str) -> tuple[str, str]:
    """Return the key and the value of `--explain key=value`; a text without `=` has no key."""
    key, sign, value = argument.partition("=")
    return (key.strip(), value) if sign and key.strip() and " " not in key.strip() else ("", argument)


def _parsed(value: Any) -> Any:
    try:
        return json.loads(value)
    except (TypeError, ValueError, RecursionError):
        return value


def _members(path: str, before: Any, after: Any) -> Iterator[Member]:
    """Yield the members in which two nested values differ."""
    if isinstance(before, dict) and isinstance(after, dict):
        kept = {key: value for key, value in after.items() if key in before}
        for key, value in before.items():
            yield from _members(f"{path}.{key}", value, kept.get(key))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from _members(f"{path}[{index}]", one, other)
    elif before != after:
        yield Member(path, tuple(match.group() for match in MARKER.finditer(str(after))) or ("removed",))
