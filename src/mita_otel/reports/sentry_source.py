"""Creates reports from Sentry's API, for services without a store."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from mita_otel import environment_variables as variables
from mita_otel._versions import version_of
from mita_otel.errors import ConfigurationError
from mita_otel.policy import load_policy
from mita_otel.reports.export import sealed
from mita_otel.reports.model import (
    BreachNumbers,
    CategoryNumbers,
    Numbers,
    OperationNumbers,
    PerformanceSection,
    Report,
    ReportKind,
)
from mita_otel.reports.report_builder import TITLES
from mita_otel.reports.scope import ReportScope
from mita_otel.reports.sections import ErrorGroup, ErrorNumbers, ErrorSection
from mita_otel.sentry.api import open_sentry_api
from mita_otel.sentry.mapping.status import SERVER_FAILURES

if TYPE_CHECKING:
    from mita_otel.sentry.api.client import SentryApi

KINDS: Final[tuple[ReportKind, ...]] = ("performance", "weekly")
"""Reports that Sentry has data for. It has no audit trail and no redaction counts."""

_PER_PAGE: Final = "100"
"""Largest page size of Sentry."""
_MAX_ROWS: Final = 2_000
_DURATION: Final = "span.duration"
_NUMBERS: Final = tuple(
    f"{name}({_DURATION})" for name in ("count", "avg", "min", "max", "p50", "p90", "p95", "p99")
)
_COUNT: Final = f"count({_DURATION})"
_TRANSACTIONS: Final = "is_transaction:true"
_FAILED: Final = f"{_TRANSACTIONS} trace.status:[{','.join(sorted(SERVER_FAILURES))}]"
"""Sentry's `failure_rate()` counts each status but ok, cancelled and unknown: 401, 404 and 422 too, which are answers."""
_CATEGORIES: Final = {
    "http.server": "api",
    "db": "database",
    "queue.process": "consumer",
    "queue.task": "background",
}
"""Category of a transaction by its op, as written by the Sentry exporter."""
_NOTE: Final = (
    "Source: Sentry. Counts and percentiles cover the transactions that Sentry has; it extrapolates from sampled "
    "traces. Sentry has no gaps, redaction counts or audit entries."
)


def report_from_sentry(
    kind: ReportKind,
    scope: ReportScope,
    *,
    env: Mapping[str, str] | None = None,
    now: datetime | None = None,
    on_progress: Callable[[str], None] | None = None,
) -> Report:
    """Create a report from Sentry's API.

    Raises:
        ConfigurationError: Sentry has no data for this kind of report, a variable is missing, or Sentry refuses.
    """
    if kind not in KINDS:
        raise ConfigurationError(
            f"a {kind} report needs the store: Sentry has no audit trail. Use --source store"
        )
    env = os.environ if env is None else env
    policy = load_policy(env=env)
    project = env.get(variables.SENTRY_PROJECT_BACKEND, "").strip()
    with closing(open_sentry_api(policy.alerts.sentry, env, scope="org:read")) as api:
        query = _SentryQuery(api, project, scope, on_progress or (lambda step: None))
        performance = query.performance(policy.reports.max_operations)
        errors = query.errors(policy.reports.max_groups) if kind == "weekly" else None
    report = Report(
        kind=kind,
        title=TITLES[kind],
        organisation=policy.reports.organisation or None,
        scope=policy.reports.scope or None,
        source="sentry",
        service=scope.service,
        environment=scope.environment,
        start=scope.period.start,
        end=scope.period.end,
        generated_at=now or datetime.now(UTC),
        generated_by=f"mita-otel {version_of('mita-otel')}",
        policy_sha256=policy.digest(),
        performance=performance,
        errors=errors,
        notes=[_NOTE],
    )
    return sealed(report, None)


class _SentryQuery:
    """Queries for one scope."""

    def __init__(
        self, api: SentryApi, project: str, scope: ReportScope, on_progress: Callable[[str], None]
    ) -> None:
        self._api = api
        self._on_progress = on_progress
        self._query = {
            "per_page": _PER_PAGE,
            "project": project,
            "start": scope.period.start.strftime("%Y-%m-%dT%H:%M:%S"),
            "end": scope.period.end.strftime("%Y-%m-%dT%H:%M:%S"),
            "environment": scope.environment or "",
        }

    def performance(self, max_operations: int) -> PerformanceSection:
        self._on_progress("transactions")
        total = self._transactions()
        ops = self._transactions("span.op")
        rows = self._transactions("transaction", "span.op", sort=f"-sum({_DURATION})")
        self._on_progress("breaches")
        breaches = self._fetch(
            "spans",
            ["latency_rule", "latency_limit_ms", _COUNT, f"max({_DURATION})"],
            query="has:latency_rule",
            sort=f"-{_COUNT}",
        )
        return PerformanceSection(
            total=_numbers(total[0] if total else {}),
            categories=[CategoryNumbers(category=_category(row), **vars(_numbers(row))) for row in ops],
            operations=[_operation(row) for row in rows[:max_operations]],
            operations_omitted=max(0, len(rows) - max_operations),
            limits=[],
            steps=[],
            slowest=[],
            breaches=[_breach(row) for row in breaches],
        )

    def errors(self, max_groups: int) -> ErrorSection:
        self._on_progress("errors")
        counted = self._fetch("errors", ["error_category", "severity", "count()"], sort="-count()")
        groups = self._fetch(
            "errors",
            [
                "error_category",
                "severity",
                "error.type",
                "title",
                "count()",
                "min(timestamp)",
                "max(timestamp)",
            ],
            sort="-count()",
        )
        return ErrorSection(
            total=sum(_whole(row.get("count()")) for row in counted),
            by_category=[
                ErrorNumbers(
                    category=_text(row, "error_category", "system_error"),
                    severity=_text(row, "severity", "high"),
                    count=_whole(row.get("count()")),
                )
                for row in counted
            ],
            groups=[_group(row) for row in groups[:max_groups]],
            groups_omitted=max(0, len(groups) - max_groups),
            steps=[],
        )

    def _transactions(self, *groups: str, **query: str) -> list[dict[str, Any]]:
        """Return the numbers of transactions by group, with the count of failed ones as `errors`."""
        sums = [f"sum({_DURATION})"] if query else []
        rows = self._fetch("spans", [*groups, *sums, *_NUMBERS], query=_TRANSACTIONS, **query)
        failed = {
            tuple(row.get(name) for name in groups): _whole(row.get(_COUNT))
            for row in self._fetch("spans", [*groups, _COUNT], query=_FAILED, sort=f"-{_COUNT}")
        }
        return [{**row, "errors": failed.get(tuple(row.get(name) for name in groups), 0)} for row in rows]

    def _fetch(self, dataset: str, fields: list[str], **query: str) -> list[dict[str, Any]]:
        parameters = {name: value for name, value in {**self._query, **query}.items() if value}
        rows = self._api.pages(
            f"{self._api.org_path}/events/",
            {"dataset": dataset, "field": fields, **parameters},
            within="data",
        )
        return list(islice(rows, _MAX_ROWS))


def _numbers(row: Mapping[str, Any]) -> Numbers:
    durations = {
        name: _number(row.get(f"{name}({_DURATION})")) for name in ("min", "max", "p50", "p90", "p95", "p99")
    }
    return Numbers(
        count=_whole(row.get(_COUNT)),
        errors=_whole(row.get("errors")),
        breaches=0,
        mean_ms=_number(row.get(f"avg({_DURATION})")),
        **{f"{name}_ms": value for name, value in durations.items()},
    )


def _operation(row: Mapping[str, Any]) -> OperationNumbers:
    return OperationNumbers(
        category=_category(row),
        operation=_text(row, "transaction", "(no name)"),
        rule=None,
        limit_ms=None,
        **vars(_numbers(row)),
    )


def _breach(row: Mapping[str, Any]) -> BreachNumbers:
    rule = _text(row, "latency_rule", "(no rule)")
    return BreachNumbers(
        rule=rule,
        kind=rule.partition(".")[0],
        limit_ms=_limit(row.get("latency_limit_ms")),
        count=_whole(row.get(_COUNT)),
        worst_ms=_number(row.get(f"max({_DURATION})")) or 0.0,
        worst_name="",
        worst_trace_id="",
    )


def _group(row: Mapping[str, Any]) -> ErrorGroup:
    name = row.get("error.type")
    return ErrorGroup(
        category=_text(row, "error_category", "system_error"),
        severity=_text(row, "severity", "high"),
        name=str(name[-1] if isinstance(name, list) and name else name or "error"),
        message=_text(row, "title", ""),
        count=_whole(row.get("count()")),
        first=_time(row.get("min(timestamp)")),
        last=_time(row.get("max(timestamp)")),
        last_trace_id=None,
    )


def _category(row: Mapping[str, Any]) -> str:
    op = str(row.get("span.op") or "")
    return _CATEGORIES.get(op, op or "other")


def _text(row: Mapping[str, Any], name: str, default: str) -> str:
    value = row.get(name)
    return str(value) if value else default


def _whole(value: Any) -> int:
    return int(value) if isinstance(value, int | float) else 0


def _number(value: Any) -> float | None:
    return round(float(value), 3) if isinstance(value, int | float) else None


def _limit(value: Any) -> float:
    try:
        return float(value)  # a tag is text
    except (TypeError, ValueError):
        return 0.0


def _time(value: Any) -> datetime:
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return datetime.fromtimestamp(0, UTC)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
