"""Reads the audit entries of a period once: counts them, and checks the fields that PCI DSS requires."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson
from sqlalchemy import select
from sqlalchemy.engine import Connection

from mita_otel.audit.event import COMMAND_SERVICE, AuditEventType, AuditOutcome
from mita_otel.redaction.marker import MARKER
from mita_otel.reports.definitions import RequirementDefinition, entry_rules, requirement_definitions
from mita_otel.reports.scope import ReportScope
from mita_otel.reports.sections import CountOverTime, FieldCheck, NamedCount, RequirementEntries
from mita_otel.store.tables import AuditEntryRow, table_of

ENTRIES: Final = table_of(AuditEntryRow)
_ROWS: Final = 1000
_MAX_KEPT: Final = 10_000
_OUTCOMES: Final = frozenset({AuditOutcome.SUCCESS, AuditOutcome.FAILURE, AuditOutcome.DENIED})
"""Outcomes that say whether the event succeeded."""
_WRITTEN_BY_TRAIL: Final = frozenset(
    {AuditEventType.AUDIT_START, AuditEventType.AUDIT_STOP, AuditEventType.AUDIT_FAILURE}
)
_POLICY_AT: Final = 1
"""Position of the entry about the policy, which the trail writes at the start of each chain."""


class EntryChecks:
    """Counts entries, and those without a field that a requirement asks for.

    Args:
        scope: Period, service, environment and person.
        max_examples: How many entries without a field are listed.
    """

    def __init__(self, scope: ReportScope, max_examples: int) -> None:
        self._scope = scope
        self.types: Counter[str] = Counter()
        """Entries by type."""
        self.outcomes: Counter[str] = Counter()
        """Entries by outcome."""
        self.automatic = 0
        """Entries that the trail wrote itself."""
        self._steps: Counter[int] = Counter()
        self._rules = entry_rules()
        self._concerned: dict[tuple[str, str, bool, bool], list[_RequirementCheck]] = {}
        self._start_ns = scope.period.start_ns
        self._step_ns = int(scope.period.step.total_seconds()) * 10**9
        self._checks = [
            _RequirementCheck(one, max_examples)
            for one in requirement_definitions()
            if one.section == "entries"
        ]

    def read(self, connection: Connection) -> None:
        """Read the entries of the scope, and those of the `mita-otel` command."""
        columns = (
            "chain",
            "sequence",
            "recorded_ns",
            "event_type",
            "outcome",
            "service",
            "user_id",
            "erasure_id",
        )
        every = self._scope.rows(ENTRIES, ENTRIES.c.recorded_ns, also=COMMAND_SERVICE)
        statement = select(*(ENTRIES.c[name] for name in columns), ENTRIES.c.body).where(every)
        in_order = statement.order_by(ENTRIES.c.recorded_ns, ENTRIES.c.chain, ENTRIES.c.sequence)
        for row in connection.execution_options(yield_per=_ROWS).execute(in_order):
            body = _body(row.body)
            if self._scope.environment in (None, body.get("environment")):
                self._add(row, body)

    def steps(self) -> list[CountOverTime]:
        """Return the entries of each step."""
        return [
            CountOverTime(start=self._scope.step_start(step), name="entries", count=count)
            for step, count in sorted(self._steps.items())
        ]

    def of_requirements(self) -> list[RequirementEntries]:
        """Return the entries about each requirement."""
        return [one.result() for one in self._checks]

    def _add(self, row: Any, body: Mapping[str, Any]) -> None:
        automatic = _is_automatic(row, body)
        if self._scope.service in (None, row.service):
            self.types[row.event_type] += 1
            self.outcomes[row.outcome] += 1
            self.automatic += automatic
            self._steps[(row.recorded_ns - self._start_ns) // self._step_ns] += 1
        missing = frozenset(self._missing(row, body, automatic=automatic))
        for check in self._checks_of(row.event_type, row.outcome, automatic, row.sequence == 0):
            check.add(row, missing)

    def _checks_of(
        self, event_type: str, outcome: str, automatic: bool, first: bool
    ) -> list[_RequirementCheck]:
        """Return the checks of an entry. Few combinations exist, so they are kept."""
        key = event_type, outcome, automatic, first
        found = self._concerned.get(key)
        if found is None:
            found = [one for one in self._checks if one.is_about(*key)]
            if len(self._concerned) < _MAX_KEPT:
                self._concerned[key] = found
        return found

    def _missing(self, row: Any, body: Mapping[str, Any], *, automatic: bool) -> Iterator[str]:
        """Yield the fields that the entry does not have."""
        if not automatic and not self._identifies_user(row):
            yield "user"
        if not body.get("type"):
            yield "type"
        if not isinstance(body.get("recorded_ns"), int) or body["recorded_ns"] <= 0:
            yield "time"
        if body.get("outcome") not in _OUTCOMES:
            yield "outcome"
        if not body.get("host") or not body.get("service"):
            yield "origination"
        if not self._names_resource(body):
            yield "resource"
        if row.sequence == 0 and row.event_type != AuditEventType.AUDIT_START:
            yield "start"

    def _identifies_user(self, row: Any) -> bool:
        """Return whether the entry names its user. An erased user was named when the entry was written."""
        if row.erasure_id is not None:
            return True
        user = (row.user_id or "").strip()
        if user.lower() in self._rules.placeholders:
            return False
        # A redacted id identifies its user only as a digest.
        return not user.startswith("[") or "~" in user or MARKER.fullmatch(user) is None

    def _names_resource(self, body: Mapping[str, Any]) -> bool:
        if body.get("resource_id") or body.get("resource_type"):
            return True
        return body.get("type") in self._rules.affects_service and bool(body.get("service"))


class _RequirementCheck:
    """Counts the entries about one requirement."""

    def __init__(self, definition: RequirementDefinition, max_examples: int) -> None:
        self._definition = definition
        self._max_examples = max_examples
        self._types: Counter[str] = Counter()
        self._missing: Counter[str] = Counter()
        self._examples: dict[str, list[str]] = defaultdict(list)
        self._faulty = 0

    def add(self, row: Any, missing: frozenset[str]) -> None:
        self._types[row.event_type] += 1
        if not missing:
            return
        faults = [name for name in self._definition.fields if name in missing]
        self._faulty += bool(faults)
        for name in faults:
            self._missing[name] += 1
            if len(self._examples[name]) < self._max_examples:
                self._examples[name].append(entry_id(row))

    def is_about(self, event_type: str, outcome: str, automatic: bool, first: bool) -> bool:
        """Return whether the requirement is about entries of a type, with an outcome, or the first of a chain."""
        definition = self._definition
        if automatic and not definition.automatic:
            return False
        if not definition.types or (first and "start" in definition.fields):
            return True
        return event_type in definition.types or outcome in definition.outcomes

    def result(self) -> RequirementEntries:
        return RequirementEntries(
            requirement=self._definition.id,
            entries=self._types.total(),
            faulty=self._faulty,
            by_type=most_frequent(self._types),
            fields=[
                FieldCheck(field=name, missing=self._missing[name], examples=self._examples[name])
                for name in self._definition.fields
            ],
        )


def entry_id(row: Any) -> str:
    """Return the id of an entry: its chain and its sequence, as `mita-otel audit verify` prints them."""
    return f"{row.chain} {row.sequence}"


def most_frequent(counts: Counter[str]) -> list[NamedCount]:
    """Return counts by name, the largest first."""
    return [
        NamedCount(name=name, count=count)
        for name, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    ]


def _is_automatic(row: Any, body: Mapping[str, Any]) -> bool:
    """Return whether the trail, or the retention schedule, wrote the entry without a user's action."""
    if row.user_id is not None or row.erasure_id is not None:
        return False
    if row.event_type in _WRITTEN_BY_TRAIL or row.event_type == AuditEventType.RETENTION_APPLY:
        return True
    return (
        row.event_type == AuditEventType.CONFIGURATION_CHANGE
        and row.sequence <= _POLICY_AT
        and body.get("resource_type") == "policy"
    )


def _body(text: str) -> Mapping[str, Any]:
    """Return the signed fields. A body that cannot be read has none; the verification reports it."""
    try:
        fields = orjson.loads(text)
    except (orjson.JSONDecodeError, TypeError):
        return {}
    return fields if isinstance(fields, dict) else {}
