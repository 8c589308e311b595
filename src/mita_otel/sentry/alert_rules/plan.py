"""The difference between the desired and the existing monitors and alerts: pure functions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Resource:
    """A monitor or an alert in Sentry."""

    kind: str
    """`monitor` or `alert`."""
    name: str
    settings: Mapping[str, Any]
    """What is compared: nested mappings, lists and scalars."""


@dataclass(frozen=True)
class ExistingResource(Resource):
    """A monitor or an alert that exists."""

    id: str = ""
    response: Mapping[str, Any] = field(default_factory=dict)
    """The resource as Sentry returns it."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A setting whose existing value is not the desired one."""

    path: str
    existing: Any
    desired: Any

    def __str__(self) -> str:
        return f"{self.path}: {_shown(self.existing)} -> {_shown(self.desired)}"


@dataclass(frozen=True)
class Update:
    """A resource whose settings differ."""

    existing: ExistingResource
    resource: Resource
    differences: tuple[Difference, ...]


@dataclass(frozen=True)
class Plan:
    """The changes that bring Sentry to the desired state."""

    creates: tuple[Resource, ...] = ()
    updates: tuple[Update, ...] = ()
    deletes: tuple[ExistingResource, ...] = ()
    unchanged: tuple[ExistingResource, ...] = ()
    notes: tuple[str, ...] = ()
    """What Sentry does not support, and what happens instead."""
    missing: tuple[str, ...] = ()
    """What has to be set up in Sentry before every recipient is notified."""

    @property
    def changes(self) -> int:
        """The number of resources to create, update or delete."""
        return len(self.creates) + len(self.updates) + len(self.deletes)

    def lines(self) -> Iterator[str]:
        """Yield lines to print: `+` create, `~` update, `-` delete, `!` missing in Sentry, `#` note."""
        for resource in self.creates:
            yield f"+ {resource.kind} {resource.name}"
        for update in self.updates:
            yield f"~ {update.resource.kind} {update.resource.name}"
            for one in update.differences:
                yield f"    {one}"
        for existing in self.deletes:
            yield f"- {existing.kind} {existing.name}"
        for missing in self.missing:
            yield f"! {missing}"
        for note in self.notes:
            yield f"# {note}"
        yield (
            f"{len(self.creates)} to create, {len(self.updates)} to update, {len(self.deletes)} to delete, "
            f"{len(self.unchanged)} unchanged"
        )


def make_plan(
    desired: Sequence[Resource],
    existing: Sequence[ExistingResource],
    *,
    notes: Sequence[str] = (),
    missing: Sequence[str] = (),
) -> Plan:
    """Compare the desired with the existing resources.

    Two concurrent first runs create every resource twice. The oldest resource of a name stays, the others are deleted.

    Args:
        desired: Resources in the order in which they are created.
        existing: Our resources in Sentry.
        notes: See `Plan.notes`.
        missing: See `Plan.missing`.
    """
    newest_first = sorted(existing, key=lambda one: int(one.id), reverse=True)
    oldest = {(one.kind, one.name): one for one in newest_first}
    duplicates = [one for one in existing if oldest[one.kind, one.name] is not one]
    rest = dict(oldest)
    creates: list[Resource] = []
    updates: list[Update] = []
    unchanged: list[ExistingResource] = []
    for resource in desired:
        found = rest.pop((resource.kind, resource.name), None)
        if found is None:
            creates.append(resource)
            continue
        differing = tuple(differences(found.settings, resource.settings))
        if differing:
            updates.append(Update(found, resource, differing))
        else:
            unchanged.append(found)
    return Plan(
        tuple(creates),
        tuple(updates),
        tuple(sorted([*rest.values(), *duplicates], key=existing.index)),
        tuple(unchanged),
        tuple(notes),
        tuple(dict.fromkeys(missing)),
    )


def differences(existing: Any, desired: Any, path: str = "") -> Iterator[Difference]:
    """Yield each value that differs, with its path."""
    if isinstance(existing, Mapping) and isinstance(desired, Mapping):
        for key in [*desired, *(one for one in existing if one not in desired)]:
            below = f"{path}.{key}" if path else str(key)
            yield from differences(existing.get(key), desired.get(key), below)
    elif isinstance(existing, list) and isinstance(desired, list) and len(existing) == len(desired):
        for number, (old, new) in enumerate(zip(existing, desired, strict=True)):
            yield from differences(old, new, f"{path}.{number}")
    elif existing != desired:
        yield Difference(path, existing, desired)


def in_order(values: Sequence[Any]) -> list[Any]:
    """Return the values in an order that does not depend on Sentry, which returns them in random order."""
    return sorted(values, key=lambda one: json.dumps(one, sort_keys=True, default=str))


def _shown(value: Any) -> str:
    return "nothing" if value is None else json.dumps(value, ensure_ascii=False, default=str)
