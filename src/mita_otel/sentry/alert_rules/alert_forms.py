"""Alerts as they are compared, as Sentry takes them, and as Sentry tells them: pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from mita_otel.sentry.alert_rules.directory import Recipient
from mita_otel.sentry.alert_rules.filters import Filter
from mita_otel.sentry.alert_rules.resources import in_order
from mita_otel.sentry.alert_rules.wanted import OnEvent, WantedAlert

_UNKNOWN: Final = "something that is not ours"


def alert_form(alert: WantedAlert, recipients: Sequence[Recipient], connected: str) -> dict[str, Any]:
    """Return an alert as it shall be, connected to a monitor."""
    groups = alert.trigger.groups if isinstance(alert.trigger, OnEvent) else ((),)
    actions = in_order([_action_form(one) for one in recipients])
    return {
        "enabled": True,
        "environment": alert.environment,
        "frequency": alert.frequency_min,
        "monitors": [connected],
        # No condition: every event.
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


def _condition(one: Filter) -> dict[str, Any]:
    comparison: dict[str, Any]
    match one.about:
        case "level":
            kind, comparison = "level", {"level": one.value, "match": one.match}
        case "attribute":
            kind, comparison = (
                "event_attribute",
                {"attribute": one.key, "match": one.match, "value": one.value},
            )
        case _:
            kind, comparison = "tagged_event", {"key": one.key, "match": one.match, "value": one.value}
    if one.match in {"is", "ns"}:
        comparison.pop("value", None)
    return {"type": kind, "comparison": comparison, "conditionResult": True}


def _action_form(recipient: Recipient) -> dict[str, Any]:
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


def action_body(type: str, **form: Any) -> dict[str, Any]:  # noqa: A002 - as Sentry names it
    """Return an action as Sentry takes it."""
    config: dict[str, Any] = {
        "targetType": "specific",
        "targetIdentifier": "",
        "targetDisplay": form.get("display"),
    }
    data: dict[str, Any] = {}
    if type == "pagerduty":
        config["targetIdentifier"] = form["target"]
        data = {"priority": "default"}
    elif type == "email":
        config = {"targetType": form["to"], "targetIdentifier": form.get("target", ""), "targetDisplay": None}
        data = {"fallthroughType": form["fallthrough"]} if "fallthrough" in form else {}
    return {
        "type": type,
        "integrationId": form.get("integration"),
        "data": data,
        "config": config,
        "status": "active",
    }


def alert_form_of(told: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return an alert as it is.

    Args:
        told: As Sentry tells it.
        names: Names of monitors by their ids.
    """
    when = told.get("triggers") or {}
    return {
        "enabled": told.get("enabled", True),
        "environment": told.get("environment"),
        "frequency": (told.get("config") or {}).get("frequency"),
        "monitors": sorted(names.get(str(one), _UNKNOWN) for one in told.get("detectorIds") or []),
        "when": {"logic": when.get("logicType"), "conditions": _conditions_of(when)},
        "then": in_order(
            [
                {
                    "logic": group.get("logicType"),
                    "conditions": _conditions_of(group),
                    "actions": in_order([_action_form_of(one) for one in group.get("actions") or []]),
                }
                for group in told.get("actionFilters") or []
            ]
        ),
    }


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


def _action_form_of(told: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of an action is ours to say: Sentry fills in a channel's id by itself."""
    config, data = told.get("config") or {}, told.get("data") or {}
    kind, integration = told.get("type"), str(told.get("integrationId") or "")
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
