"""The difference between what is wanted and what is there, and what is done about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from mita_otel.errors import ConfigurationError
from mita_otel.sentry.alert_rules.monitors import MonitorsAndAlerts
from mita_otel.sentry.alert_rules.resources import Difference, Existing, Resource, differences


@dataclass(frozen=True)
class Update:
    """A thing that is not as it shall be."""

    existing: Existing
    resource: Resource
    differences: tuple[Difference, ...]


@dataclass(frozen=True)
class Plan:
    """What has to be done so that Sentry is as the policy wants it."""

    creates: tuple[Resource, ...] = ()
    updates: tuple[Update, ...] = ()
    deletes: tuple[Existing, ...] = ()
    unchanged: tuple[Existing, ...] = ()
    notes: tuple[str, ...] = ()
    """What Sentry cannot do, and what is done instead."""
    missing: tuple[str, ...] = ()
    """What has to be set up in Sentry before everybody is told."""

    @property
    def changes(self) -> int:
        """How many things would be changed."""
        return len(self.creates) + len(self.updates) + len(self.deletes)

    def lines(self) -> Iterator[str]:
        """Yield the plan as lines to print: `+` is made, `~` changed, `-` deleted, `!` missing, `#` a note."""
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
            f"{len(self.creates)} to make, {len(self.updates)} to change, {len(self.deletes)} to delete, "
            f"{len(self.unchanged)} as they shall be"
        )


def make_plan(
    wanted: Sequence[Resource],
    existing: Sequence[Existing],
    *,
    notes: Sequence[str] = (),
    missing: Sequence[str] = (),
) -> Plan:
    """Compare what is wanted with what of ours is there.

    Args:
        wanted: What shall be there, in the order in which it is made.
        existing: What of ours is there.
        notes: See `Plan.notes`.
        missing: See `Plan.missing`.

    Raises:
        ConfigurationError: Two things have the same name: which one is ours cannot be said.
    """
    twice = [key for key, count in Counter((one.kind, one.name) for one in existing).items() if count > 1]
    if twice:
        kind, name = twice[0]
        ids = ", ".join(one.id for one in existing if (one.kind, one.name) == twice[0])
        raise ConfigurationError(
            f"Sentry has several of the {kind} {name} (ids {ids}); delete all but one there"
        )
    there = {(one.kind, one.name): one for one in existing}
    creates: list[Resource] = []
    updates: list[Update] = []
    unchanged: list[Existing] = []
    for resource in wanted:
        found = there.pop((resource.kind, resource.name), None)
        if found is None:
            creates.append(resource)
            continue
        differing = tuple(differences(found.form, resource.form))
        if differing:
            updates.append(Update(found, resource, differing))
        else:
            unchanged.append(found)
    return Plan(
        tuple(creates),
        tuple(updates),
        tuple(there.values()),
        tuple(unchanged),
        tuple(notes),
        tuple(dict.fromkeys(missing)),
    )


def carry_out(backend: MonitorsAndAlerts, plan: Plan, say: Callable[[str], None] = lambda line: None) -> None:
    """Do what the plan says. What was done stays done if something fails; the next run does the rest.

    Args:
        backend: Where.
        plan: What.
        say: Told of each thing that was done.
    """
    for resource in plan.creates:
        backend.create(resource)
        say(f"+ {resource.kind} {resource.name}")
    for update in plan.updates:
        backend.update(update.existing, update.resource)
        say(f"~ {update.resource.kind} {update.resource.name}")
    # What tells of something goes before what finds it.
    for existing in reversed(plan.deletes):
        backend.delete(existing)
        say(f"- {existing.kind} {existing.name}")
