"""Monitors as they are compared, as Sentry takes them, and as Sentry tells them: pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from mita_otel.sentry.alert_rules.resources import Existing, Resource, in_order, number
from mita_otel.sentry.alert_rules.wanted import OnMetric, WantedAlert

_HIGH: Final = 75
_MEDIUM: Final = 50
_RESOLVED: Final = 0
_DATASETS: Final[Mapping[str, Mapping[str, Any]]] = {
    "errors": {"dataset": "events", "eventTypes": ["default", "error"], "queryType": 0},
    "spans": {
        "dataset": "events_analytics_platform",
        "eventTypes": ["trace_item_span"],
        "queryType": 1,
        "extrapolationMode": "unknown",
    },
}


def monitor_form(alert: WantedAlert, trigger: OnMetric) -> dict[str, Any]:
    """Return a monitor as it shall be."""
    above = number(trigger.above)
    return {
        "enabled": True,
        "description": alert.description,
        "source": {
            "aggregate": trigger.aggregate,
            "environment": alert.environment,
            "query": trigger.query,
            "timeWindow": trigger.window_s,
            **_DATASETS[trigger.dataset],
        },
        "detection": "static",
        "conditions": in_order(
            [
                {"type": "gt", "comparison": above, "result": _HIGH if trigger.high else _MEDIUM},
                # Without it nothing would ever be over.
                {"type": "lte", "comparison": above, "result": _RESOLVED},
            ]
        ),
    }


def monitor_form_of(told: Mapping[str, Any]) -> dict[str, Any]:
    """Return a monitor as it is."""
    sources = told.get("dataSources") or [{}]
    query = ((sources[0] or {}).get("queryObj") or {}).get("snubaQuery") or {}
    group = told.get("conditionGroup") or {}
    source = {
        "aggregate": query.get("aggregate"),
        "environment": query.get("environment"),
        "query": query.get("query"),
        "timeWindow": query.get("timeWindow"),
        "dataset": query.get("dataset"),
        "eventTypes": sorted(query.get("eventTypes") or []),
        "queryType": query.get("queryType"),
    }
    if query.get("extrapolationMode") and query.get("dataset") == _DATASETS["spans"]["dataset"]:
        source["extrapolationMode"] = query["extrapolationMode"]
    if source["queryType"] is None:  # not every server tells it
        source["queryType"] = next(
            (one["queryType"] for one in _DATASETS.values() if one["dataset"] == source["dataset"]), None
        )
    return {
        "enabled": told.get("enabled", True),
        "description": told.get("description") or "",
        "source": source,
        "detection": (told.get("config") or {}).get("detectionType"),
        "conditions": in_order(
            [
                {
                    "type": one.get("type"),
                    "comparison": number(one.get("comparison")),
                    "result": number(one.get("conditionResult")),
                }
                for one in group.get("conditions") or []
            ]
        ),
    }


def monitor_body(resource: Resource) -> dict[str, Any]:
    """Return what is sent to make it so."""
    form = resource.form
    return {
        "name": resource.name,
        "type": "metric_issue",
        "enabled": True,
        "description": form["description"],
        "data_sources": [form["source"]],
        "config": {"detectionType": form["detection"]},
        "condition_group": {
            "logic_type": "any",
            "conditions": [
                {"type": one["type"], "comparison": one["comparison"], "conditionResult": one["result"]}
                for one in form["conditions"]
            ],
        },
    }


def workflow_ids(existing: Existing) -> list[int]:
    """Return the ids of the alerts that are connected to a monitor."""
    return [int(one) for one in existing.raw.get("workflowIds") or []]


def owner_of(existing: Existing) -> dict[str, str]:
    """Return whose a thing is, as somebody has said in Sentry: that stays."""
    owner = existing.raw.get("owner")
    if isinstance(owner, Mapping):
        return {"owner": f"{owner.get('type')}:{owner.get('id')}"}
    return {"owner": owner} if isinstance(owner, str) else {}
