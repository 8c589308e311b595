"""The same reports from Sentry, for those who keep nothing themselves: what its API can tell, and no more."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from mita_otel import environment_variables as variables
from mita_otel.errors import ConfigurationError
from mita_otel.policy import load_policy
from mita_otel.policy.fingerprint import policy_digest
from mita_otel.reports.build import TITLES
from mita_otel.reports.findings import ErrorGroup, ErrorNumbers, Errors
from mita_otel.reports.model import (
    BreachNumbers,
    CategoryNumbers,
    Numbers,
    OperationNumbers,
    Performance,
    Report,
    ReportKind,
)
from mita_otel.reports.scope import Scope
from mita_otel.sentry.api import open_sentry_api

if TYPE_CHECKING:
    from mita_otel.sentry.api.client import SentryApi

KINDS: Final[tuple[ReportKind, ...]] = ("performance", "weekly")
"""Reports that can be made from Sentry. It has no audit trail, and no redactions."""

_PER_PAGE: Final = "100"
"""Sentry gives no more."""
_MAX_ROWS: Final = 2_000
_DURATION: Final = "span.duration"
_NUMBERS: Final = tuple(
    f"{name}({_DURATION})" for name in ("count", "avg", "min", "max", "p50", "p90", "p95", "p99")
)
_FAILED: Final = "failure_rate()"
_TRANSACTIONS: Final = "is_transaction:true"
_CATEGORIES: Final = {
    "http.server": "api",
    "db": "database",
    "queue.process": "consumer",
    "queue.task": "background",
}
"""The category of a transaction by its op, as the Sentry exporter writes it."""
_NOTE: Final = (
    "From Sentry: counts and percentiles are what its API tells of the transactions that it has; where traces are "
    "sampled it extrapolates. There are no gaps, redactions or audit entries in it."
)


def report_from_sentry(
    kind: ReportKind,
    scope: Scope,
    *,
    env: Mapping[str, str] | None = None,
    now: datetime | None = None,
    on_progress: Callable[[str], None] | None = None,
) -> Report:
    """Make a report from Sentry's API.

    Raises:
        ConfigurationError: This report cannot be made from Sentry, a variable is missing, or Sentry refuses.
    """
    if kind not in KINDS:
        raise ConfigurationError(
            f"a {kind} report needs the store: Sentry has no audit trail. Use --source store"
        )
    env = os.environ if env is None else env
    policy = load_policy(env=env)
    project = env.get(variables.SENTRY_PROJECT_BACKEND, "").strip()
    with closing(open_sentry_api(policy.alerts.sentry, env, scope="org:read")) as api:
        asked = _Asked(api, project, scope, on_progress or (lambda what: None))
        performance = asked.performance(policy.reports.max_operations)
        errors = asked.errors(policy.reports.max_groups) if kind == "weekly" else None
    return Report(
        kind=kind,
        title=TITLES[kind],
        source="sentry",
        service=scope.service,
        environment=scope.environment,
        start=scope.period.start,
        end=scope.period.end,
        generated_at=now or datetime.now(UTC),
        generated_by=f"mita-otel {version('mita-otel')}",
        policy_sha256=policy_digest(policy),
        performance=performance,
        errors=errors,
        notes=[_NOTE],
    )


class _Asked:
    """Questions about one scope."""

    def __init__(
        self, api: SentryApi, project: str, scope: Scope, on_progress: Callable[[str], None]
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

    def performance(self, max_operations: int) -> Performance:
        self._on_progress("transactions")
        total = self._ask("spans", [*_NUMBERS, _FAILED], query=_TRANSACTIONS)
        ops = self._ask("spans", ["span.op", *_NUMBERS, _FAILED], query=_TRANSACTIONS)
        rows = self._ask(
            "spans",
            ["transaction", "span.op", f"sum({_DURATION})", *_NUMBERS, _FAILED],
            query=_TRANSACTIONS,
            sort=f"-sum({_DURATION})",
        )
        self._on_progress("breaches")
        breaches = self._ask(
            "spans",
            ["latency_rule", "latency_limit_ms", f"count({_DURATION})", f"max({_DURATION})"],
            query="has:latency_rule",
            sort=f"-count({_DURATION})",
        )
        return Performance(
            total=_numbers(total[0] if total else {}),
            categories=[CategoryNumbers(category=_category(row), **vars(_numbers(row))) for row in ops],
            operations=[_operation(row) for row in rows[:max_operations]],
            operations_left_out=max(0, len(rows) - max_operations),
            steps=[],
            slowest=[],
            breaches=[_breach(row) for row in breaches],
        )

    def errors(self, max_groups: int) -> Errors:
        self._on_progress("errors")
        counted = self._ask("errors", ["error_category", "severity", "count()"], sort="-count()")
        groups = self._ask(
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
        return Errors(
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
            groups_left_out=max(0, len(groups) - max_groups),
            steps=[],
        )

    def _ask(self, dataset: str, fields: list[str], **query: str) -> list[dict[str, Any]]:
        told = {name: value for name, value in {**self._query, **query}.items() if value}
        rows = self._api.pages(
            f"{self._api.org_path}/events/", {"dataset": dataset, "field": fields, **told}, within="data"
        )
        return list(islice(rows, _MAX_ROWS))


def _numbers(row: Mapping[str, Any]) -> Numbers:
    count = _whole(row.get(f"count({_DURATION})"))
    told = {
        name: _number(row.get(f"{name}({_DURATION})")) for name in ("min", "max", "p50", "p90", "p95", "p99")
    }
    return Numbers(
        count=count,
        errors=round(count * (_number(row.get(_FAILED)) or 0.0)),
        breaches=0,
        mean_ms=_number(row.get(f"avg({_DURATION})")),
        **{f"{name}_ms": value for name, value in told.items()},
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
        count=_whole(row.get(f"count({_DURATION})")),
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


def _text(row: Mapping[str, Any], name: str, otherwise: str) -> str:
    value = row.get(name)
    return str(value) if value else otherwise


def _whole(value: Any) -> int:
    return int(value) if isinstance(value, int | float) else 0


def _number(value: Any) -> float | None:
    return round(float(value), 3) if isinstance(value, int | float) else None


def _limit(value: Any) -> float:
    try:
        return float(value)  # a tag, and so a text
    except (TypeError, ValueError):
        return 0.0


def _time(value: Any) -> datetime:
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return datetime.fromtimestamp(0, UTC)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
