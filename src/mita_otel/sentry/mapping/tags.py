"""Sentry tags for the alert rules of the MITA monitoring guide, and their source attributes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

from mita_otel import semconv

TAG_OF: Final[Mapping[str, semconv.Names]] = {
    "financial_operation": (semconv.OPERATION, semconv.OPERATION_PART_OF),
    "severity": (semconv.SEVERITY,),
    "error_category": (semconv.ERROR_CATEGORY,),
    "transaction_id": (semconv.TRANSACTION_ID,),
    "compliance_status": (semconv.COMPLIANCE_STATUS,),
    "security_event": (semconv.SECURITY_EVENT_TYPE,),
    "request_id": (semconv.REQUEST_ID,),
}
"""Source attributes by tag, in order of precedence."""

_FINANCIAL: Final = (semconv.OPERATION, semconv.OPERATION_PART_OF, semconv.ERROR_CATEGORY)
_OWN: Final = f"{semconv.TAG}."

_OF_WORST_EVENT: Final = frozenset(
    {
        semconv.SEVERITY,
        semconv.ERROR_CATEGORY,
        semconv.ERROR_TYPE,
        semconv.EVENT_ID,
        semconv.SECURITY_EVENT_TYPE,
        semconv.SECURITY_ATTEMPTS,
    }
)
"""Attributes of a span that describe the worst error or event inside. They do not describe other errors of the span."""
_MAX_TAG: Final = 200
"""Maximum characters of a tag's value. Sentry truncates longer values."""
_MAX_NAME: Final = 32
"""Maximum characters of a tag's name. Sentry drops tags with longer names."""
_NAME_CHARACTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:-")


def tag_value(value: Any) -> str:
    """Return a tag's value in Sentry's format: one line of at most 200 characters."""
    return " ".join(str(value).split())[:_MAX_TAG].rstrip()


def tag_name(name: str) -> str:
    """Return a tag's name in Sentry's format: at most 32 allowed characters."""
    return "".join(char if char in _NAME_CHARACTERS else "_" for char in name)[:_MAX_NAME]


def tags_of(attributes: Mapping[str, Any], resource: Mapping[str, Any]) -> dict[str, str]:
    """Return the tags for the attributes of one span or log record."""
    tags = {
        tag: tag_value(value)
        for tag, names in TAG_OF.items()
        if (value := semconv.first(attributes, names)) is not None
    }
    if semconv.first(attributes, _FINANCIAL) is not None:
        tags["financial_service"] = "true"
    component = resource.get(semconv.SERVICE_NAME)
    if component:
        tags["component"] = tag_value(component)
    return tags


def shared_attributes(span: ReadableSpan) -> dict[str, Any]:
    """Return the attributes of a span that describe every error inside, not only its worst."""
    return {name: value for name, value in (span.attributes or {}).items() if name not in _OF_WORST_EVENT}


def own_tags(attributes: Mapping[str, Any]) -> dict[str, str]:
    """Return the application's tags, from the attributes `mita.tag.*` and the mapping `mita.tags`."""
    mapping = attributes.get(semconv.TAGS)
    own = dict(mapping) if isinstance(mapping, Mapping) else {}
    own.update({name[len(_OWN) :]: value for name, value in attributes.items() if name.startswith(_OWN)})
    return {tag_name(str(name)): tag_value(value) for name, value in own.items() if value is not None}


def transaction_tags(spans: Sequence[ReadableSpan], *, late: bool, allowed: Iterable[str]) -> dict[str, str]:
    """Return a transaction's tags: attributes of its spans, performance issues and failures.

    If several spans have the same tag, the root takes precedence, then the first span.

    Args:
        spans: The root first.
        late: Whether the spans belong to a transaction that was sent before.
        allowed: Names of mita-otel's tags that the policy allows. The application's tags are always allowed.
    """
    tags: dict[str, str] = {}
    own: dict[str, str] = {}
    for span in reversed(spans):
        tags.update(tags_of(span.attributes or {}, span.resource.attributes))
        own.update(own_tags(span.attributes or {}))
    breached = [span for span in spans if (span.attributes or {}).get(semconv.LATENCY_EXCEEDED)]
    if breached:
        worst = max(breached, key=_overrun_ms).attributes or {}
        tags["performance_issue"] = "true"
        tags["latency_rule"] = tag_value(worst.get(semconv.LATENCY_RULE))
        tags["latency_limit_ms"] = _number(worst.get(semconv.LATENCY_LIMIT_MS))
    elif any(semconv.REPEATED_QUERIES in (span.attributes or {}) for span in spans):
        tags["performance_issue"] = "true"
        tags["latency_rule"] = semconv.REPEATED_QUERIES_RULE
    if any(span.status.status_code is StatusCode.ERROR for span in spans):
        tags["failed"] = "true"
    if late:
        tags["late_span"] = "true"
    permitted = frozenset(allowed)
    return {**own, **{tag: value for tag, value in tags.items() if tag in permitted}}


def _overrun_ms(span: ReadableSpan) -> float:
    overrun = (span.attributes or {}).get(semconv.LATENCY_OVERRUN_MS)
    return overrun if isinstance(overrun, int | float) else 0.0


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) else tag_value(value)
