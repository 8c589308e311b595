"""Breadcrumbs: steps that led to an error. Each is an event of the current span, and part of the next error."""

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
    """Add a breadcrumb: a step that the next error will contain.

    Args:
        message: What happened, without varying numbers, which belong in `data`.
        category: For example `financial`, `auth`, `query`.
        level: `debug`, `info`, `warning`, `error` or `fatal`.
        data: Further data; redacted before export.
    """
    runtime = running()
    if runtime is None:
        return
    runtime.guard("add_financial_breadcrumb", _add, runtime, message, category, level, data)


def _add(
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
    # A tuple: tasks that start here inherit it, and do not see what other tasks add.
    context.attach(with_facts(facts.replace(breadcrumbs=(*facts.breadcrumbs, crumb)[-max_kept:])))
