"""Breadcrumbs: what led to an error. Each is an event of the current span, and kept for the next error."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from opentelemetry import context, trace

from mita_otel import semconv
from mita_otel.finance.attribute_values import attribute_mapping
from mita_otel.finance.facts import Breadcrumb, local_facts, with_facts
from mita_otel.finance.runtime import FinanceRuntime, running


def add_financial_breadcrumb(
    message: str,
    category: str = "financial",
    level: str = "info",
    data: Mapping[str, Any] | None = None,
) -> None:
    """Leave a breadcrumb: a step on the way that an error which follows will show.

    Args:
        message: What happened. No numbers that vary: those belong into `data`.
        category: As in `financial`, `auth`, `query`.
        level: `debug`, `info`, `warning`, `error` or `fatal`.
        data: Anything; redacted before it leaves.
    """
    runtime = running()
    if runtime is None:
        return
    runtime.guard("add_financial_breadcrumb", _leave_crumb, runtime, message, category, level, data)


def _leave_crumb(
    runtime: FinanceRuntime, message: str, category: str, level: str, data: Mapping[str, Any] | None
) -> None:
    bounds = runtime.policy.context
    crumb: dict[str, Any] = {
        "timestamp": time.time(),
        "message": str(message)[: bounds.max_text],
        "category": str(category),
        "level": str(level),
        "data": attribute_mapping(data, bounds),
    }
    _keep(crumb, runtime.policy.breadcrumbs.max_kept)
    span = trace.get_current_span()
    if span.is_recording():
        named = {
            f"{semconv.BREADCRUMB_EVENT}.{name}": crumb[name] for name in ("message", "category", "level")
        }
        data_named = {f"{semconv.BREADCRUMB_EVENT}.data.{key}": value for key, value in crumb["data"].items()}
        span.add_event(semconv.BREADCRUMB_EVENT, {**named, **data_named})


def _keep(crumb: Breadcrumb, max_kept: int) -> None:
    facts = local_facts()
    if facts.shared is not None:
        facts.shared.breadcrumbs.append(crumb)
        return
    # A tuple: tasks that begin here inherit what was, and none sees what another one adds.
    context.attach(with_facts(facts.replace(breadcrumbs=(*facts.breadcrumbs, crumb)[-max_kept:])))
