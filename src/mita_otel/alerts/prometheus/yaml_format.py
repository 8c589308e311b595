"""YAML, strings and durations as Prometheus and Alertmanager read them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

Node = str | bool | Mapping[str, "Node"] | Sequence["Node"]
"""A part of a YAML document."""

_UNITS: Final = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s"), (1, "ms"))


def quoted(text: str) -> str:
    """Return a JSON string, which is also a string in YAML and PromQL."""
    return json.dumps(text, ensure_ascii=False)


def duration(seconds: float) -> str:
    """Return a duration in its largest whole unit, as in `5m`."""
    milliseconds = round(seconds * 1000)
    if not milliseconds:
        return "0s"
    return next(f"{milliseconds // size}{unit}" for size, unit in _UNITS if milliseconds % size == 0)


def yaml(node: Mapping[str, Node], comments: Sequence[str] = ()) -> str:
    """Return a YAML document with comments at its top."""
    return "\n".join([*(f"# {one}" for one in comments), *_lines(node), ""])


def _lines(node: Node) -> Iterator[str]:
    if isinstance(node, str | bool):
        yield quoted(node) if isinstance(node, str) else str(node).lower()
    elif isinstance(node, Mapping):
        for key, value in node.items():
            yield from _entry(key, value)
    else:
        for item in node:
            first, *rest = _lines(item)
            yield f"- {first}"
            yield from (f"  {line}" for line in rest)


def _entry(key: str, value: Node) -> Iterator[str]:
    if isinstance(value, str) and "\n" in value:
        yield f"{key}: |-"
        yield from (f"  {line}" for line in value.splitlines())
    elif isinstance(value, str | bool):
        yield f"{key}: {next(_lines(value))}"
    elif not value:
        yield f"{key}: {'{}' if isinstance(value, Mapping) else '[]'}"
    else:
        yield f"{key}:"
        yield from (f"  {line}" for line in _lines(value))
