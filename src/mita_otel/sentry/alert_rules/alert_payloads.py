"""A Sentry alert as settings to compare, as a request and as a response: pure functions.

Settings hold only what this library decides, in a fixed order, with names instead of ids.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from mita_otel.sentry.alert_rules.desired_state import AlertSpec, EventTrigger
from mita_otel.sentry.alert_rules.filters import EventFilter
from mita_otel.sentry.alert_rules.plan import in_order
from mita_otel.sentry.alert_rules.recipients import Recipient

UNKNOWN_MONITOR: Final = "unknown monitor"
"""A connected monitor that is not ours."""


def alert_settings(spec: AlertSpec, recipients: Sequence[Recipient], monitor: str) -> dict[str, Any]:
    """Return the desired settings of an alert that is connected to a monitor."""
    groups = spec.trigger.groups if isinstance(spec.trigger, EventTrigger) else ((),)
    actions = in_order([_action_settings(one) for one in recipients])
    return {
        "enabled": True,
        "environment": spec.environment,
        "frequency": spec.frequency_min,
        "monitors": [monitor],
        # Without a condition, every event triggers the alert.
        "when": {"logic": "any-short", "conditions": []},
        "then": in_order(
            [
                {
                    "logic": "all",
                    "conditions": in_order([_condition(one) for one in group]),
                    "actions": actions,
                }
                for group in groups
            ]
        ),
    }


def alert_settings_of(response: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings of an existing alert.

    Args:
        response: The alert as Sentry returns it.
        names: Names of our monitors by their ids.
    """
    when = response.get("triggers") or {}
    return {
        "enabled": response.get("enabled", True),
        "environment": response.get("environment"),
        "frequency": (response.get("config") or {}).get("frequency"),
        "monitors": sorted(names.get(str(one), UNKNOWN_MONITOR) for one in response.get("detectorIds") or []),
        "when": {"logic": when.get("logicType"), "conditions": _conditions_of(when)},
        "then": in_order(
            [
                {
                    "logic": group.get("logicType"),
                    "conditions": _conditions_of(group),
                    "actions": in_order([_action_settings_of(one) for one in group.get("actions") or []]),
                }
                for group in response.get("actionFilters") or []
            ]
        ),
    }


def alert_request(name: str, settings: Mapping[str, Any], monitor_ids: Sequence[int]) -> dict[str, Any]:
    """Return the request body that creates or replaces an alert.

    Args:
        name: Name of the alert.
        settings: Its desired settings.
        monitor_ids: Ids of the connected monitors.
    """
    return {
        "name": name,
        "enabled": True,
        "environment": settings["environment"],
        "config": {"frequency": settings["frequency"]},
        "detector_ids": list(monitor_ids),
        "triggers": {
            "logic_type": settings["when"]["logic"],
            "conditions": settings["when"]["conditions"],
        },
        "action_filters": [
            {
                "logicType": group["logic"],
                "conditions": group["conditions"],
                "actions": [_action_request(**action) for action in group["actions"]],
            }
            for group in settings["then"]
        ],
    }


def _condition(one: EventFilter) -> dict[str, Any]:
    comparison: dict[str, Any]
    match one.about:
        case "level":
            kind, comparison = "level", {"level": one.value, "match": one.operator}
        case "attribute":
            kind = "event_attribute"
            comparison = {"attribute": one.key, "match": one.operator, "value": one.value}
        case _:
            kind = "tagged_event"
            comparison = {"key": one.key, "match": one.operator, "value": one.value}
    if one.operator in {"is", "ns"}:
        comparison.pop("value", None)
    return {"type": kind, "comparison": comparison, "conditionResult": True}


def _conditions_of(group: Mapping[str, Any]) -> list[Any]:
    return in_order(
        [
            {
                "type": one.get("type"),
                "comparison": one.get("comparison"),
                "conditionResult": one.get("conditionResult"),
            }
            for one in group.get("conditions") or []
        ]
    )


def _action_settings(recipient: Recipient) -> dict[str, Any]:
    match recipient.kind:
        case "slack":
            return {"type": "slack", "integration": recipient.integration_id, "display": recipient.name}
        case "pagerduty":
            return {
                "type": "pagerduty",
                "integration": recipient.integration_id,
                "target": recipient.id,
                "display": recipient.name,
            }
        case "team":
            return {"type": "email", "to": "team", "target": recipient.id}
    return {"type": "email", "to": "issue_owners", "fallthrough": "ActiveMembers"}


def _action_settings_of(response: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of an action without what Sentry adds, such as a channel's id."""
    config, data = response.get("config") or {}, response.get("data") or {}
    kind, integration = response.get("type"), str(response.get("integrationId") or "")
    display = str(config.get("targetDisplay") or "").lstrip("#")
    target = str(config.get("targetIdentifier") or "")
    match kind:
        case "slack":
            return {"type": kind, "integration": integration, "display": display}
        case "pagerduty":
            return {"type": kind, "integration": integration, "target": target, "display": display}
        case "email" if config.get("targetType") == "issue_owners":
            return {"type": kind, "to": "issue_owners", "fallthrough": data.get("fallthroughType")}
        case "email":
            return {"type": kind, "to": config.get("targetType"), "target": target}
    return {"type": kind, "config": dict(config)}


def _action_request(type: str, **settings: Any) -> dict[str, Any]:  # noqa: A002 - Sentry's name
    config: dict[str, Any] = {
        "targetType": "specific",
        "targetIdentifier": "",
        "targetDisplay": settings.get("display"),
    }
    data: dict[str, Any] = {}
    if type == "pagerduty":
        config["targetIdentifier"] = settings["target"]
        data = {"priority": "default"}
    elif type == "email":
        config = {
            "targetType": settings["to"],
            "targetIdentifier": settings.get("target", ""),
            "targetDisplay": None,
        }
        data = {"fallthroughType": settings["fallthrough"]} if "fallthrough" in settings else {}
    return {
        "type": type,
        "integrationId": settings.get("integration"),
        "data": data,
        "config": config,
        "status": "active",
    }
