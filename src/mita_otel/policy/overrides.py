"""Settings from environment variables: `MITA_OTEL_SECTION__KEY=value`, and a few with another name."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from mita_otel import environment_variables as variables
from mita_otel.policy.conversion import fits
from mita_otel.policy.errors import Problem
from mita_otel.policy.schema import Kind, is_list, is_text, key_kind_at, kind_at
from mita_otel.policy.sources import TOO_DEEP, Source, Tree, with_tables
from mita_otel.policy.toml_text import KeyPath, write_key

_ALIASES = {
    variables.FILE: ("export", "file", "path"),
    variables.AUDIT_SPOOL: ("audit", "spool", "folder"),
    variables.AUDIT_ANCHORS: ("audit", "anchors", "path"),
    variables.TRACES_EXPORTER: ("export", "traces"),
    variables.SENTRY_TRACES_SAMPLE_RATE: ("sampling", "ratio"),
    variables.BSP_SCHEDULE_DELAY: ("export", "queue", "delay_ms"),
    variables.BSP_MAX_QUEUE_SIZE: ("export", "queue", "exporter_max_spans"),
    variables.BSP_MAX_EXPORT_BATCH_SIZE: ("export", "queue", "max_batch"),
}
"""Settings of variables with another name, which win over `MITA_OTEL_SECTION__KEY`."""

_IMPLIED: dict[str, tuple[KeyPath, str]] = {
    # Without this, a rate has no effect in an environment that keeps every trace.
    variables.SENTRY_TRACES_SAMPLE_RATE: (("sampling", "mode"), "tail"),
}
"""Another setting that a variable implies, unless a variable sets it."""


def from_environment(env: Mapping[str, str], model: Kind, defaults: Tree) -> tuple[Source, list[Problem]]:
    """Return the values that environment variables set, and the problems with the variables' names.

    A value is read as TOML (`500`, `true`, `["a", "b"]`); a text needs no quotes, a list no brackets:
    its members may be separated by commas. A variable that is empty sets nothing.
    """
    keys: dict[KeyPath, str] = {}
    problems: list[Problem] = []
    for name, text in sorted(env.items()):
        if name.startswith(variables.OVERRIDE_PREFIX) and text.strip():
            parts = tuple(name.removeprefix(variables.OVERRIDE_PREFIX).split("__"))
            if 1 < len(parts) <= TOO_DEEP:
                keys[spelling_of(model, defaults, parts)] = name
            elif name not in variables.names():
                problems.append(Problem(name, "", _unknown_variable(name)))
    keys |= {key: name for name, key in _ALIASES.items() if env.get(name, "").strip()}
    tree: Tree = {}
    for key, name in keys.items():
        node = tree
        for end, part in enumerate(key[:-1], 1):
            if key[:end] in keys:
                other = keys[key[:end]]
                problems.append(
                    Problem(name, "", f"{other} sets all of {write_key(key[:end])}; unset one of the two")
                )
                break
            node = node.setdefault(part, {})
        else:
            node[key[-1]] = _value(env[name], kind_at(model, key))
    for name, (key, value) in _IMPLIED.items():
        if name in keys.values() and key not in keys:
            keys[key] = name
            tree[key[0]][key[1]] = value
    return Source("environment variables", tree, with_tables(keys)), problems


def spelling_of(kind: Kind, defaults: Mapping[str, Any], key: KeyPath) -> KeyPath:
    """Return a key that was written without regard to capitals as the policy spells it."""
    spelled: KeyPath = ()
    table: Any = defaults
    for part in key:
        siblings = list(table) if isinstance(table, Mapping) else []
        known = next((name for name in siblings if name.lower() == part.lower()), None)
        if known is None:
            last_of_capitals = len(spelled) == len(key) - 1 and siblings and all(map(str.isupper, siblings))
            names = key_kind_at(kind, spelled)
            known = part.upper() if last_of_capitals or not fits(names, part.lower()) else part.lower()
        table = table.get(known) if isinstance(table, Mapping) else None
        spelled = (*spelled, known)
    return spelled


def _unknown_variable(name: str) -> str:
    prefix = variables.OVERRIDE_PREFIX
    ours = sorted(one.removeprefix(prefix) for one in variables.names() if one.startswith(prefix))
    close = get_close_matches(name.removeprefix(prefix), ours, n=1)
    if close:
        return f"there is no such variable; did you mean {prefix}{close[0]}?"
    known = ", ".join(prefix + one for one in ours)
    return f"there is no such variable; known are {known} and {prefix}SECTION__KEY"


def _value(text: str, kind: Kind | None) -> Any:
    text = text.strip()
    if kind is not None and is_text(kind):
        return text
    if kind is not None and is_list(kind) and not text.startswith("["):
        return [one.strip() for one in text.split(",") if one.strip()]
    if text.lower() in {"true", "false"}:
        return text.lower() == "true"
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError, MemoryError):
        return text
