"""Prepares a request for forwarding: decompressed, parsed, filtered by item, redacted, measured, encoded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

import orjson

from mita_otel._json import json_bytes
from mita_otel.mobile.app_errors import AppError, error_of, is_crash
from mita_otel.mobile.app_spans import spans_of_item, spans_of_transaction
from mita_otel.mobile.credentials import Projects
from mita_otel.mobile.envelope import (
    EnvelopeBounds,
    EnvelopeError,
    Item,
    decompress,
    parse_envelope,
    write_items,
)
from mita_otel.mobile.item_redaction import ItemRedactor, NotRedactable
from mita_otel.mobile.measurement import MeasuredSpan, Measurer, mark_streamed, mark_transaction, tags_of
from mita_otel.mobile.rate_limits import PRIORITIES, categories_of
from mita_otel.mobile.upstream import upstream_key
from mita_otel.policy import Policy
from mita_otel.policy.mobile import ItemRule, Priority
from mita_otel.redaction import Redactor

_TAGGED: Final = frozenset({"event", "transaction", "feedback"})
_UNKNOWN_PRIORITY: Final[Priority] = "debug"

_OTLP: Final = "otlp_traces"

FORWARDED: Final = "forwarded"
REFUSED: Final = "refused"
RATE_LIMITED: Final = "rate_limited"
MALFORMED: Final = "malformed"


class OtlpUnavailableError(Exception):
    """A package that OTLP needs is not installed."""


@dataclass(frozen=True, slots=True)
class Intake:
    """An accepted request."""

    project: str
    """The project's name. Empty: the envelope's `dsn` names it (a tunnel)."""
    body: bytes
    encoding: str = ""
    form: str = "envelope"
    """`envelope`, or `otlp_traces`."""
    content_type: str = ""


@dataclass(slots=True)
class Prepared:
    """The forwarded part of a request, and what to count."""

    project: str
    event_id: str = ""
    header: dict[str, Any] = field(default_factory=dict)
    form: str = "envelope"
    payload: bytes = b""
    """The encoded items, or an OTLP request. Empty: nothing is forwarded."""
    priority: Priority = _UNKNOWN_PRIORITY
    categories: tuple[str, ...] = ()
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Number of items by type and outcome."""
    redacted: Counter[str] = field(default_factory=Counter)
    """Number of redacted values by rule."""
    measured: list[MeasuredSpan] = field(default_factory=list)
    errors: list[AppError] = field(default_factory=list)

    def only(self, outcome: str) -> bool:
        """Return whether all items have this outcome, and there is at least one."""
        return bool(self.outcomes) and all(one == outcome for _, one in self.outcomes)


class Preparer:
    """Prepares requests. Not thread-safe.

    Args:
        policy: The policy.
        redactor: The redaction boundary.
        limited: Whether Sentry limits the rate now; takes project, categories and priority.
    """

    def __init__(
        self, policy: Policy, redactor: Redactor, limited: Callable[[str, tuple[str, ...], Priority], bool]
    ) -> None:
        mobile = policy.mobile
        self._mobile = mobile
        self._projects = Projects(mobile.projects)
        self._text_redactor = redactor
        self._redactor = ItemRedactor(redactor)
        self._limited = limited
        self._measuring = Measurer(policy)
        self._bounds = EnvelopeBounds(mobile.intake.max_header_kilobytes * 1024, mobile.intake.max_items)
        self._max_json = int(mobile.intake.max_json_megabytes * 1e6)
        self._reserved = frozenset(mobile.tags.reserved) | frozenset(mobile.tags.set)

    def prepare(self, intake: Intake) -> Prepared:
        """Prepare an envelope.

        Raises:
            EnvelopeError: The body is invalid.
            Refused: A tunnelled envelope names no known project.
            UnsupportedEncodingError: The Content-Encoding is unknown.
        """
        body = self.unpacked(intake)
        envelope = parse_envelope(body, self._bounds)
        name = intake.project or self._projects.find_by_dsn(envelope.header)
        prepared = Prepared(name, event_id=_event_id(envelope.header))
        kept = [safe for item in envelope.items if (safe := self._item(item, name, prepared)) is not None]
        if kept:
            prepared.header = self._header(envelope.header, prepared)
            prepared.payload = write_items(kept)
        return prepared

    def prepare_otlp(self, intake: Intake) -> Prepared:
        """Prepare an OTLP export request.

        Raises:
            EnvelopeError: The body is invalid.
            OtlpUnavailableError: The extra `otlp` is not installed.
            UnsupportedEncodingError: The Content-Encoding is unknown.
        """
        try:
            from mita_otel.mobile.otlp import prepare_request, read_request
        except ImportError as error:
            raise OtlpUnavailableError(error.name or "opentelemetry-proto") from error
        rule, categories = self._mobile.items.get(_OTLP), categories_of(_OTLP)
        prepared = Prepared(intake.project, form=_OTLP, categories=categories)
        if rule is None or rule.action == "refuse":
            prepared.outcomes[_OTLP, REFUSED] += 1
        elif self._limited(intake.project, categories, rule.priority):
            prepared.outcomes[_OTLP, RATE_LIMITED] += 1
        else:
            body = self.unpacked(intake)
            if len(body) > self._max_json:
                raise EnvelopeError("too_large", f"a request is limited to {self._max_json} bytes")
            request = read_request(body, intake.content_type)
            prepared.measured = prepare_request(
                request, self._text_redactor, self._measuring, prepared.redacted
            )
            prepared.payload = request.SerializeToString()
            prepared.priority = rule.priority
            prepared.outcomes[_OTLP, FORWARDED] += 1
        return prepared

    def unpacked(self, intake: Intake) -> bytes:
        """Return a request's decompressed body.

        Raises:
            EnvelopeError: The body is too large or damaged.
            UnsupportedEncodingError: The Content-Encoding is unknown.
        """
        bounds = self._mobile.intake
        most = int(bounds.max_envelope_megabytes * 1e6)
        return decompress(intake.body, intake.encoding, max_size=most, max_ratio=bounds.max_ratio)

    def _item(self, item: Item, project: str, prepared: Prepared) -> Item | None:
        kind = item.type
        rule = self._mobile.items.get(kind)
        shown = kind if rule is not None else "unknown"
        outcome, safe = self._filtered(item, rule, project, prepared)
        prepared.outcomes[shown, outcome] += 1
        return safe

    def _filtered(
        self, item: Item, rule: ItemRule | None, project: str, prepared: Prepared
    ) -> tuple[str, Item | None]:
        kind = item.type
        refused = rule.action == "refuse" if rule is not None else self._mobile.unknown_items == "refuse"
        if refused:
            return REFUSED, None
        categories = categories_of(kind)
        if self._limited(project, categories, _UNKNOWN_PRIORITY if rule is None else rule.priority):
            return RATE_LIMITED, None
        try:
            safe, priority = self._safe(item, rule, prepared)
        except (orjson.JSONDecodeError, RecursionError):
            return MALFORMED, None
        except NotRedactable:
            return "not_redactable", None
        if safe is None:
            return "too_large", None
        prepared.categories = tuple(dict.fromkeys((*prepared.categories, *categories)))
        prepared.priority = min(prepared.priority, priority, key=PRIORITIES.index)
        return FORWARDED, safe

    def _safe(self, item: Item, rule: ItemRule | None, prepared: Prepared) -> tuple[Item | None, Priority]:
        tally = prepared.redacted
        priority: Priority = rule.priority if rule is not None else _UNKNOWN_PRIORITY
        header = self._redactor.item_header(item.header, tally)
        if rule is not None and rule.action == "forward_unredacted":
            return Item(header, item.payload), priority
        if len(item.payload) > self._max_json:
            return None, priority
        value = orjson.loads(item.payload)
        if not isinstance(value, dict):
            raise orjson.JSONDecodeError("no object", "", 0)
        safe = self._redactor.value(item.type, value, tally)
        if item.type in _TAGGED:
            self._set_tags(safe)
        self._measure(item.type, safe, prepared)
        if item.type == "event":
            priority = "crash" if is_crash(safe) else priority
            error = error_of(safe)
            prepared.errors += [error] if error is not None else []
        return Item(header, json_bytes(safe)), priority

    def _measure(self, kind: str, value: dict[str, Any], prepared: Prepared) -> None:
        if kind == "transaction":
            found = self._measuring.measure(spans_of_transaction(value))
            mark_transaction(value, found)
        elif kind == "span":
            found = self._measuring.measure(spans_of_item(value))
            mark_streamed(found)
        else:
            return
        prepared.measured.extend(measured for _, measured in found)

    def _set_tags(self, event: dict[str, Any]) -> None:
        kept = {name: value for name, value in tags_of(event).items() if name not in self._reserved}
        event["tags"] = {**kept, **self._mobile.tags.set}

    def _header(self, header: Mapping[str, Any], prepared: Prepared) -> dict[str, Any]:
        safe = self._redactor.envelope_header(header, prepared.redacted)
        if prepared.event_id:
            safe["event_id"] = prepared.event_id
        project = self._mobile.projects[prepared.project]
        trace = safe.get("trace")
        if project.upstream and isinstance(trace, dict) and trace.get("public_key") in project.keys:
            # Sentry finds the project of a trace by this key, and knows only its own key, not the gateway's.
            trace["public_key"] = upstream_key(project.upstream)
        return safe


def _event_id(header: Mapping[str, Any]) -> str:
    """Return the envelope's id as 32 digits. Empty: it has none.

    Raises:
        EnvelopeError: The id is invalid.
    """
    said = header.get("event_id")
    if said is None:
        return ""
    try:
        return UUID(said).hex
    except (ValueError, AttributeError, TypeError) as error:
        raise EnvelopeError("bad_event_id", "the envelope's event_id is invalid") from error
