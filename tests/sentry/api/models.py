"""Typed models of the requests that Sentry's API accepts; they validate every request of the tests.

From Sentry's published descriptions; where those leave a value free (conditions, actions), from their examples.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


Name = Annotated[str, Field(min_length=1, max_length=256)]


# --- monitors ----------------------------------------------------------------------------------------
class ErrorSource(Strict):
    aggregate: Literal["count()"]
    dataset: Literal["events"]
    environment: str | None
    eventTypes: list[Literal["default", "error"]]  # noqa: N815 - Sentry's
    query: str
    queryType: Literal[0]  # noqa: N815
    timeWindow: Literal[60, 300, 600, 900, 1800, 3600, 7200, 14400, 86400]  # noqa: N815


class SpanSource(Strict):
    aggregate: Literal["http_response_rate(5)"]
    dataset: Literal["events_analytics_platform"]
    environment: str | None
    eventTypes: list[Literal["trace_item_span"]]  # noqa: N815
    query: str
    queryType: Literal[1]  # noqa: N815
    timeWindow: Literal[60, 300, 600, 900, 1800, 3600, 7200, 14400, 86400]  # noqa: N815
    extrapolationMode: str  # noqa: N815


class Threshold(Strict):
    type: Literal["gt", "lte"]
    comparison: int | float
    conditionResult: Literal[0, 50, 75]  # noqa: N815


class Thresholds(Strict):
    logic_type: Literal["any"]
    conditions: Annotated[list[Threshold], Field(min_length=2)]


class Detection(Strict):
    detectionType: Literal["static"]  # noqa: N815


class Monitor(Strict):
    name: Annotated[str, Field(min_length=1, max_length=200)]
    type: Literal["metric_issue"]
    enabled: bool
    description: str
    data_sources: Annotated[list[ErrorSource | SpanSource], Field(min_length=1, max_length=1)]
    config: Detection
    condition_group: Thresholds
    workflow_ids: list[int] | None = None
    owner: str | None = None


# --- alerts ------------------------------------------------------------------------------------------
Match = Literal["co", "nc", "eq", "ne", "sw", "ew"]
Presence = Literal["is", "ns"]


class TagIs(Strict):
    key: str
    match: Match
    value: str


class TagIsThere(Strict):
    key: str
    match: Presence


class AttributeIs(Strict):
    attribute: Literal["message", "exception.type", "error.unhandled", "error.handled", "environment"]
    match: Match
    value: str


class LevelIs(Strict):
    level: Literal[0, 10, 20, 30, 40, 50]
    match: Literal["eq", "gte", "lte"]


class TaggedEvent(Strict):
    type: Literal["tagged_event"]
    comparison: TagIs | TagIsThere
    conditionResult: bool  # noqa: N815


class EventAttribute(Strict):
    type: Literal["event_attribute"]
    comparison: AttributeIs
    conditionResult: bool  # noqa: N815


class Level(Strict):
    type: Literal["level"]
    comparison: LevelIs
    conditionResult: bool  # noqa: N815


class Specific(Strict):
    targetType: Literal["specific"]  # noqa: N815
    targetIdentifier: str  # noqa: N815
    targetDisplay: Annotated[str, Field(min_length=1)]  # noqa: N815


class Slack(Strict):
    type: Literal["slack"]
    integrationId: str  # noqa: N815
    config: Specific
    data: dict[str, str]
    status: Literal["active"]


class PagerDutyData(Strict):
    priority: Literal["default", "critical", "error", "warning", "info"]


class PagerDuty(Strict):
    type: Literal["pagerduty"]
    integrationId: str  # noqa: N815
    config: Specific
    data: PagerDutyData
    status: Literal["active"]


class To(Strict):
    targetType: Literal["team", "user", "issue_owners"]  # noqa: N815
    targetIdentifier: str  # noqa: N815
    targetDisplay: None  # noqa: N815


class Email(Strict):
    type: Literal["email"]
    integrationId: None  # noqa: N815
    config: To
    data: dict[Literal["fallthroughType"], Literal["ActiveMembers", "AllMembers", "NoOne"]]
    status: Literal["active"]


class ActionFilter(Strict):
    logicType: Literal["any", "any-short", "all", "none"]  # noqa: N815
    conditions: list[Annotated[TaggedEvent | EventAttribute | Level, Field(discriminator="type")]]
    actions: Annotated[
        list[Annotated[Slack | PagerDuty | Email, Field(discriminator="type")]], Field(min_length=1)
    ]


class Triggers(Strict):
    logic_type: Literal["any-short"]
    conditions: list[Any]


class Frequency(Strict):
    frequency: Literal[0, 5, 10, 30, 60, 180, 720, 1440]


class Workflow(Strict):
    id: str | None = None
    name: Name
    enabled: bool
    environment: str | None
    config: Frequency
    detector_ids: Annotated[list[int], Field(min_length=1)]
    triggers: Triggers
    action_filters: Annotated[list[ActionFilter], Field(min_length=1)]
    owner: str | None = None


# --- releases ----------------------------------------------------------------------------------------
class Commit(Strict):
    id: Annotated[str, Field(min_length=1, max_length=64)]
    repository: Annotated[str, Field(max_length=64)] | None = None
    message: str | None = None
    author_name: Annotated[str, Field(max_length=128)] | None = None
    author_email: Annotated[str, Field(max_length=200)] | None = None
    timestamp: str | None = None
    patch_set: list[dict[Literal["path", "type"], str]] | None = None


class Ref(Strict):
    commit: str
    repository: Annotated[str, Field(max_length=200)]
    previousCommit: Annotated[str, Field(max_length=64)] | None = None  # noqa: N815


class Release(Strict):
    version: Annotated[str, Field(min_length=1, max_length=200)]
    projects: Annotated[list[str], Field(min_length=1)]
    ref: Annotated[str, Field(max_length=200)] | None = None
    url: str | None = None
    dateReleased: str | None = None  # noqa: N815
    commits: list[Commit] | None = None
    refs: list[Ref] | None = None


class ReleaseUpdate(Strict):
    ref: Annotated[str, Field(max_length=200)] | None = None
    url: str | None = None
    dateReleased: str | None = None  # noqa: N815
    commits: list[Commit] | None = None
    refs: list[Ref] | None = None


class Deploy(Strict):
    environment: Annotated[str, Field(min_length=1, max_length=64)]
    name: Annotated[str, Field(max_length=64)] | None = None
    url: str | None = None
    dateStarted: str | None = None  # noqa: N815
    dateFinished: str | None = None  # noqa: N815
    projects: list[str] | None = None
