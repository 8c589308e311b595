"""Merges the sources of a policy, and finds the source and key of each value that is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mita_otel.policy.conversion import read
from mita_otel.policy.errors import Mismatch, Problem, describe, example_of, misfit, unknown_key
from mita_otel.policy.model import Policy
from mita_otel.policy.schema import is_table, kind_at, known_keys
from mita_otel.policy.sources import ENVIRONMENTS, Source, Tree
from mita_otel.policy.toml_text import KeyPath, write_key


@dataclass(frozen=True)
class PolicyFault:
    """A wrong value of a source."""

    source: Source
    key: KeyPath
    """Its key in the source."""
    message: str

    def problem(self) -> Problem:
        """Return the problem that users read."""
        return Problem(self.source.place(self.key), write_key(self.key), self.message)


@dataclass
class Composed:
    """The merged sources of one environment."""

    environment: str
    tree: Tree = field(default_factory=dict)
    origins: dict[KeyPath, tuple[Source, KeyPath]] = field(default_factory=dict)
    """The source of each value, and its key there."""
    faults: list[PolicyFault] = field(default_factory=list)
    policy: Policy | None = None
    """None if there are faults."""


def overlays(source: Source) -> list[str]:
    """Return the names of the environments that a source has overlays for."""
    return list(_tables(source.tree.get(ENVIRONMENTS)))


def spelled_as(name: str, known: Iterable[str]) -> str:
    """Return the known name that differs in capitals only, else the name itself."""
    names = list(known)
    return name if name in names else next((one for one in names if one.lower() == name.lower()), name)


def _tables(node: Any) -> dict[str, Tree]:
    return (
        {name: one for name, one in node.items() if isinstance(one, dict)} if isinstance(node, dict) else {}
    )


def compose(sources: Sequence[Source], environment: str) -> Composed:
    """Merge the sources, from the weakest to the strongest: of each its base, then its overlay."""
    composed = Composed(environment)
    for source in sources:
        composed.faults.extend(_misplaced(source))
        base = {name: value for name, value in source.tree.items() if name != ENVIRONMENTS}
        _lay(composed, base, source, (), ())
        tables = _tables(source.tree.get(ENVIRONMENTS))
        name = spelled_as(environment, tables)
        _lay(composed, tables.get(name, {}), source, (ENVIRONMENTS, name), ())
    policy, mismatches = read(Policy, composed.tree)
    last = _last(sources)
    for mismatch in mismatches:
        source, original = _origin(mismatch.key, composed, last)
        composed.faults.append(PolicyFault(source, original, _message(mismatch, original, sources[0])))
    composed.policy = None if composed.faults else policy
    return composed


def _misplaced(source: Source) -> Iterator[PolicyFault]:
    """Yield each value below `environments` that is not a table."""
    node = source.tree.get(ENVIRONMENTS, {})
    fix = f"write [{ENVIRONMENTS}.NAME.section]"
    if not isinstance(node, dict):
        yield PolicyFault(source, (ENVIRONMENTS,), f"is not a table; {fix}")
        return
    for name, one in node.items():
        if not isinstance(one, dict):
            yield PolicyFault(source, (ENVIRONMENTS, name), f"is not a table; {fix}")


def _lay(composed: Composed, new: Mapping[str, Any], source: Source, prefix: KeyPath, table: KeyPath) -> None:
    """Merge a table into the tree: tables are merged, other values are replaced."""
    target = composed.tree
    for part in table:
        target = target[part]
    for name, value in new.items():
        here = (*table, name)
        replaces_table = isinstance(target.get(name), dict) and not isinstance(value, dict)
        if replaces_table and is_table(kind := kind_at(Policy, here)):
            fault = PolicyFault(source, prefix + here, misfit(value, kind, example_of(here, kind, None)))
            composed.faults.append(fault)
            continue
        composed.origins[here] = (source, prefix + here)
        if isinstance(value, dict):
            if not isinstance(target.get(name), dict):
                target[name] = {}
            _lay(composed, value, source, prefix, here)
        else:
            target[name] = value


def _last(sources: Sequence[Source]) -> Source:
    """Return the strongest source: a missing key is reported there."""
    return [source for source in sources if source.tree][-1]


def _origin(key: KeyPath, composed: Composed, last: Source) -> tuple[Source, KeyPath]:
    for end in range(len(key), 0, -1):
        if key[:end] in composed.origins:
            source, original = composed.origins[key[:end]]
            return source, original + key[end:]
    return last, key


def _message(mismatch: Mismatch, original: KeyPath, defaults: Source) -> str:
    if mismatch.reason == "unknown key":
        return _unknown(mismatch.key, original)
    return describe(mismatch, Policy, defaults.tree)


def _unknown(key: KeyPath, original: KeyPath) -> str:
    known = known_keys(Policy, key[:-1])
    if len(original) == 1:
        known.append(ENVIRONMENTS)
    if original[0] == ENVIRONMENTS and original[1] in known:
        return f"the environment's name is missing; write [{ENVIRONMENTS}.NAME.{write_key(original[1:])}]"
    return unknown_key(key[-1], known)
