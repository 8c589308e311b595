"""Sentry as it was, and as older servers of one's own still are: issue rules of a project, metric rules of the organization.

Sources: Sentry's API before 2026-05; the rules' part of its typed specification (issue alerts).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from mita_otel.sentry.alert_rules.directory import Directory, Recipient
from mita_otel.sentry.alert_rules.filters import Filter
from mita_otel.sentry.alert_rules.resources import Existing, Resource, in_order, number
from mita_otel.sentry.alert_rules.wanted import OnMetric, WantedAlert
from mita_otel.sentry.api.client import SentryApi

ISSUE_RULE: Final = "issue rule"
METRIC_RULE: Final = "metric rule"

_FILTERS: Final = "sentry.rules.filters"
_TAG: Final = f"{_FILTERS}.tagged_event.TaggedEventFilter"
_ATTRIBUTE: Final = f"{_FILTERS}.event_attribute.EventAttributeFilter"
_LEVEL: Final = f"{_FILTERS}.level.LevelFilter"
_EMAIL: Final = "sentry.mail.actions.NotifyEmailAction"
_SLACK: Final = "sentry.integrations.slack.notify_action.SlackNotifyServiceAction"
_PAGERDUTY: Final = "sentry.integrations.pagerduty.notify_action.PagerDutyNotifyServiceAction"
_LEAST_FREQUENCY_MIN: Final = 5
_ABOVE: Final = 0
_DATASETS: Final[Mapping[str, Mapping[str, Any]]] = {
    "errors": {"dataset": "events", "eventTypes": ["default", "error"], "queryType": 0},
    "spans": {"dataset": "transactions", "eventTypes": ["transaction"], "queryType": 1},
}


class OldRules:
    """The back end of older servers.

    Args:
        api: Sentry.
        directory: Who is who.
        project: The project's slug.
        project_id: Its id.
    """

    title = "issue rules and metric rules"

    def __init__(self, api: SentryApi, directory: Directory, project: str, project_id: str) -> None:
        self._api = api
        self._directory = directory
        self._project = project
        self._project_id = project_id

    @property
    def issue_rules(self) -> str:
        """The path of issue rules."""
        return f"projects/{self._api.address.org}/{self._project}/rules/"

    @property
    def metric_rules(self) -> str:
        """The path of metric rules."""
        return f"{self._api.org_path}/alert-rules/"

    def wanted(self, alerts: Sequence[WantedAlert]) -> tuple[list[Resource], list[str]]:
        """Return rules. An issue rule has one group of filters: of several groups, each is a rule."""
        found: list[Resource] = []
        notes: list[str] = []
        for alert in alerts:
            recipients, missing = self._directory.recipients(alert.targets)
            notes += [f"{alert.rule}: {note}" for note in missing]
            if isinstance(alert.trigger, OnMetric):
                if all(one.kind == "owners" for one in recipients):
                    notes.append(f"{alert.rule}: it tells nobody: metric rules of this server know no owners")
                form = _metric_form(alert, alert.trigger, recipients)
                found.append(Resource(METRIC_RULE, alert.name, form))
                continue
            for count, group in enumerate(alert.trigger.groups, 1):
                several = f" ({count})" if len(alert.trigger.groups) > 1 else ""
                found.append(
                    Resource(ISSUE_RULE, f"{alert.name}{several}", _issue_form(alert, group, recipients))
                )
        return found, notes

    def existing(self, prefix: str) -> list[Existing]:
        """Return our rules."""
        parameters = {"project": self._project_id}
        return [
            *(
                Existing(ISSUE_RULE, one["name"], _issue_form_of(one), str(one["id"]), one)
                for one in self._api.pages(self.issue_rules)
                if str(one.get("name")).startswith(prefix)
            ),
            *(
                Existing(METRIC_RULE, one["name"], _metric_form_of(one), str(one["id"]), one)
                for one in self._api.pages(self.metric_rules, parameters)
                if str(one.get("name")).startswith(prefix)
            ),
        ]

    def create(self, resource: Resource) -> None:
        """Make a rule."""
        self._api.post(self._path(resource.kind), self._body(resource))

    def update(self, existing: Existing, resource: Resource) -> None:
        """Put it in the place of what is there."""
        self._api.put(f"{self._path(resource.kind)}{existing.id}/", self._body(resource, existing))

    def delete(self, existing: Existing) -> None:
        """Take it away."""
        self._api.delete(f"{self._path(existing.kind)}{existing.id}/")

    def _path(self, kind: str) -> str:
        return self.issue_rules if kind == ISSUE_RULE else self.metric_rules

    def _body(self, resource: Resource, existing: Existing | None = None) -> dict[str, Any]:
        form = resource.form
        if resource.kind == ISSUE_RULE:
            return {
                "name": resource.name,
                "actionMatch": "any",
                "filterMatch": "all",
                "frequency": form["frequency"],
                "environment": form["environment"],
                "projects": [self._project],
                "conditions": [],
                "filters": form["filters"],
                "actions": [
                    {**one, "account": int(one["account"])} if "account" in one else one
                    for one in form["actions"]
                ],
            }
        trigger = {"label": "critical", "alertThreshold": form["above"], "actions": form["actions"]}
        known = next(iter((existing.raw.get("triggers") or []) if existing is not None else []), None)
        if known and known.get("id"):
            trigger["id"] = known["id"]
        return {
            "name": resource.name,
            **{
                name: form[name]
                for name in ("aggregate", "query", "environment", "dataset", "eventTypes", "queryType")
            },
            "timeWindow": form["timeWindow"],
            "thresholdType": _ABOVE,
            "resolveThreshold": None,
            "projects": [self._project],
            "triggers": [trigger],
        }


# --- issue rules -------------------------------------------------------------------------------------
def _issue_form(
    alert: WantedAlert, group: tuple[Filter, ...], recipients: Sequence[Recipient]
) -> dict[str, Any]:
    return {
        "environment": alert.environment,
        "frequency": max(_LEAST_FREQUENCY_MIN, alert.frequency_min),
        "match": ["any", "all"],
        "conditions": [],
        "filters": in_order([_filter(one) for one in group]),
        "actions": in_order([_issue_action(one) for one in recipients]),
    }


def _filter(one: Filter) -> dict[str, Any]:
    valued = {} if one.match in {"is", "ns"} else {"value": str(one.value)}
    match one.about:
        case "level":
            return {"id": _LEVEL, "level": str(one.value), "match": one.match}
        case "attribute":
            return {"id": _ATTRIBUTE, "attribute": one.key, "match": one.match, **valued}
    return {"id": _TAG, "key": one.key, "match": one.match, **valued}


def _issue_action(recipient: Recipient) -> dict[str, Any]:
    match recipient.kind:
        case "slack":
            return {
                "id": _SLACK,
                "workspace": recipient.integration_id,
                "channel": f"#{recipient.name}",
                "tags": "",
            }
        case "pagerduty":
            return {
                "id": _PAGERDUTY,
                "account": recipient.integration_id,
                "service": recipient.id,
                "severity": "default",
            }
        case "team":
            return {"id": _EMAIL, "targetType": "Team", "targetIdentifier": recipient.id}
    return {"id": _EMAIL, "targetType": "IssueOwners", "fallthroughType": "ActiveMembers"}


_SAID: Final = ("id", "key", "attribute", "level", "match", "value", "workspace", "channel", "tags", "account", "service", "severity", "targetType", "targetIdentifier", "fallthroughType")  # fmt: skip
"""What of a filter or action is ours to say; Sentry adds names, uuids and a channel's id."""


def _issue_form_of(told: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "environment": told.get("environment"),
        "frequency": told.get("frequency"),
        "match": [told.get("actionMatch"), told.get("filterMatch")],
        "conditions": [{"id": one.get("id")} for one in told.get("conditions") or []],
        "filters": in_order([_only_said(one) for one in told.get("filters") or []]),
        "actions": in_order([_only_said(one) for one in told.get("actions") or []]),
    }


def _only_said(told: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: str(told[name]) for name in _SAID if told.get(name) is not None}
    if kept.get("targetType") == "Team":
        kept.pop("fallthroughType", None)
    if kept.get("targetType") == "IssueOwners":
        kept.pop("targetIdentifier", None)
    if "channel" in kept:
        kept["channel"] = f"#{kept['channel'].lstrip('#')}"
        kept.setdefault("tags", "")
    return kept


# --- metric rules ------------------------------------------------------------------------------------
def _metric_form(alert: WantedAlert, trigger: OnMetric, recipients: Sequence[Recipient]) -> dict[str, Any]:
    return {
        "aggregate": trigger.aggregate,
        "query": trigger.query,
        "environment": alert.environment,
        # Of metric rules in minutes, of monitors in seconds.
        "timeWindow": trigger.window_s // 60,
        **_DATASETS[trigger.dataset],
        "above": number(trigger.above),
        "actions": in_order([_metric_action(one) for one in recipients if one.kind != "owners"]),
    }


def _metric_action(recipient: Recipient) -> dict[str, Any]:
    match recipient.kind:
        case "slack":
            return {
                "type": "slack",
                "targetType": "specific",
                "targetIdentifier": f"#{recipient.name}",
                "integrationId": recipient.integration_id,
            }
        case "pagerduty":
            return {
                "type": "pagerduty",
                "targetType": "specific",
                "targetIdentifier": recipient.id,
                "integrationId": recipient.integration_id,
            }
    return {"type": "email", "targetType": "team", "targetIdentifier": recipient.id}


def _metric_form_of(told: Mapping[str, Any]) -> dict[str, Any]:
    triggers: list[Mapping[str, Any]] = told.get("triggers") or [{}]
    trigger = triggers[0]
    return {
        "aggregate": told.get("aggregate"),
        "query": told.get("query"),
        "environment": told.get("environment"),
        "timeWindow": number(told.get("timeWindow")),
        "dataset": told.get("dataset"),
        "eventTypes": sorted(told.get("eventTypes") or []),
        "queryType": told.get("queryType"),
        "above": number(trigger.get("alertThreshold")),
        "actions": in_order([_metric_action_of(one) for one in trigger.get("actions") or []]),
    }


def _metric_action_of(told: Mapping[str, Any]) -> dict[str, Any]:
    form = {
        "type": told.get("type"),
        "targetType": told.get("targetType"),
        "targetIdentifier": str(told.get("targetIdentifier") or ""),
    }
    if told.get("integrationId") is not None:
        form["integrationId"] = str(told["integrationId"])
    if form["type"] == "slack":
        form["targetIdentifier"] = f"#{str(form['targetIdentifier']).lstrip('#')}"
    return form
