"""A Sentry monitor as settings to compare, as a request and as a response: pure functions.

Settings hold only what this library decides, in a fixed order, with names instead of ids.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from mita_otel.sentry.alert_rules.desired_state import AlertSpec, MetricTrigger
from mita_otel.sentry.alert_rules.plan import in_order

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


def monitor_settings(spec: AlertSpec, trigger: MetricTrigger) -> dict[str, Any]:
    """Return the desired settings of a monitor."""
    above = _number(trigger.above)
    return {
        "enabled": True,
        "description": spec.description,
        "source": {
            "aggregate": trigger.aggregate,
            "environment": spec.environment,
            "query": trigger.query,
            "timeWindow": trigger.window_s,
            **_DATASETS[trigger.dataset],
        },
        "detection": "static",
        "conditions": in_order(
            [
                {"type": "gt", "comparison": above, "result": _HIGH if trigger.high else _MEDIUM},
                # Without this condition the issue would never be resolved.
                {"type": "lte", "comparison": above, "result": _RESOLVED},
            ]
        ),
    }


def monitor_settings_of(response: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of an existing monitor."""
    sources = response.get("dataSources") or [{}]
    query = ((sources[0] or {}).get("queryObj") or {}).get("snubaQuery") or {}
    group = response.get("conditionGroup") or {}
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
    if source["queryType"] is None:  # not every server returns it
        source["queryType"] = next(
            (one["queryType"] for one in _DATASETS.values() if one["dataset"] == source["dataset"]), None
        )
    return {
        "enabled": response.get("enabled", True),
        "description": response.get("description") or "",
        "source": source,
        "detection": (response.get("config") or {}).get("detectionType"),
        "conditions": in_order(
            [
                {
                    "type": one.get("type"),
                    "comparison": _number(one.get("comparison")),
                    "result": _number(one.get("conditionResult")),
                }
                for one in group.get("conditions") or []
            ]
        ),
    }


def monitor_request(name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the request body that creates or replaces a monitor."""
    return {
        "name": name,
        "type": "metric_issue",
        "enabled": True,
        "description": settings["description"],
        "data_sources": [settings["source"]],
        "config": {"detectionType": settings["detection"]},
        "condition_group": {
            "logic_type": "any",
            "conditions": [
                {"type": one["type"], "comparison": one["comparison"], "conditionResult": one["result"]}
                for one in settings["conditions"]
            ],
        },
    }


def _number(value: Any) -> Any:
    """Return a number in one form: 5.0 and "5" are 5."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
