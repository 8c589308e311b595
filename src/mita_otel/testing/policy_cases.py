"""Cases that a policy must decide as expected: spans with their limits, texts with their redaction."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from mita_otel.errors import ConfigurationError
from mita_otel.latency.facts import SpanFacts
from mita_otel.latency.limits import LimitBook
from mita_otel.policy import Policy
from mita_otel.redaction import Redactor

NO_RULE: Final = "none"
"""Expected rule of a span that has no limit."""
_KINDS: Final = ("INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
_NUMBER: Final = (int, float)
_SPAN: Final[Mapping[str, type | tuple[type, ...]]] = {
    "name": str,
    "kind": str,
    "attributes": dict,
    "duration_ms": _NUMBER,
    "rule": str,
    "limit_ms": _NUMBER,
    "exceeded": bool,
}
_TEXT: Final[Mapping[str, type | tuple[type, ...]]] = {"key": str, "text": str, "redacted": str}
_EXPECTED: Final = ("rule", "limit_ms", "exceeded")


def read_cases(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Read a file of cases: the tables `[[spans]]` and `[[texts]]`.

    Raises:
        ConfigurationError: The file cannot be read, or a case is malformed.
    """
    try:
        tree = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigurationError(
            f"{path}: cannot be read ({error.strerror}); name a file of cases"
        ) from error
    except ValueError as error:
        raise ConfigurationError(f"{path}: is not TOML in UTF-8: {error}") from error
    if not tree:
        raise ConfigurationError(f"{path}: has no cases; add a table [[spans]] or [[texts]]")
    for table, cases in tree.items():
        if table not in {"spans", "texts"} or not isinstance(cases, list):
            raise ConfigurationError(f"{path}: {table}: is not a list of cases; use [[spans]] or [[texts]]")
        for number, case in enumerate(cases, 1):
            if problem := _problem(table, case):
                raise ConfigurationError(f"{path}: {table} {number}: {problem}")
    return tree


def failures(policy: Policy, cases: Mapping[str, list[dict[str, Any]]]) -> Iterator[str]:
    """Yield a description of each case that the policy does not decide as expected.

    Args:
        policy: The policy.
        cases: As `read_cases` returns them.
    """
    limits, redactor = LimitBook(policy.thresholds), Redactor(policy.redaction)
    for number, case in enumerate(cases.get("spans", ()), 1):
        differing = list(_differences(limits, case))
        if differing:
            yield "\n".join([f"spans {number} {case.get('name', '')}".rstrip() + ":", *differing])
    for number, case in enumerate(cases.get("texts", ()), 1):
        key, text = case.get("key"), case["text"]
        redacted = redactor.text(text) if key is None else redactor.value(key, text)
        found = "" if redacted is None else str(redacted)
        if found != case["redacted"]:
            named = f" under {key}" if key is not None else ""
            yield f"texts {number}{named}:\n  - expected {case['redacted']!r}\n  + found    {found!r}"


def _differences(limits: LimitBook, case: Mapping[str, Any]) -> Iterator[str]:
    facts = SpanFacts(
        case.get("name", ""),
        case.get("kind", "INTERNAL"),
        case.get("duration_ms", 0),
        case.get("attributes", {}),
    )
    verdict = limits.verdict(facts)
    wanted = case.get("rule")
    rules = [rule for rule in verdict.rules if wanted in {None, rule.name}]
    if wanted is not None and not rules and not (wanted == NO_RULE and not verdict.rules):
        yield _difference("rule", wanted, " and ".join(rule.name for rule in verdict.rules) or NO_RULE)
        rules = list(verdict.rules)
    names = {rule.name for rule in rules}
    found_limits = [rule.limit_ms for rule in rules]
    if "limit_ms" in case and case["limit_ms"] not in found_limits:
        shown = " and ".join("off" if limit is None else f"{limit:g}" for limit in found_limits)
        yield _difference("limit_ms", f"{case['limit_ms']:g}", shown or NO_RULE)
    exceeded = any(breach.rule in names for breach in verdict.breaches)
    if "exceeded" in case and case["exceeded"] is not exceeded:
        yield _difference("exceeded", str(case["exceeded"]).lower(), str(exceeded).lower())


def _difference(name: str, expected: str, found: str) -> str:
    return f"  - expected {name} = {expected}\n  + found    {name} = {found}"


def _problem(table: str, case: object) -> str | None:
    """Return what is wrong with a case, and the fix. None: it is valid."""
    known = _SPAN if table == "spans" else _TEXT
    if not isinstance(case, dict):
        return f"is not a table; write [[{table}]]"
    for name, value in case.items():
        if name not in known:
            return f"unknown key {name}; use {', '.join(known)}"
        if not isinstance(value, known[name]) or (isinstance(value, bool) and known[name] is _NUMBER):
            return f"{name} has a value of the wrong type: {value!r}"
    if table == "texts":
        missing = [name for name in ("text", "redacted") if name not in case]
        return f"{missing[0]} is missing" if missing else None
    if case.get("kind", "INTERNAL") not in _KINDS:
        return f"kind is {case['kind']!r}; use {', '.join(_KINDS)}"
    if not any(name in case for name in _EXPECTED):
        return f"expects nothing; add {', '.join(_EXPECTED)}"
    if "exceeded" in case and "duration_ms" not in case:
        return "exceeded needs duration_ms"
    return None
