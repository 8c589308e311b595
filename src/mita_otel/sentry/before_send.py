"""The `before_send` hook: sends each error once, redacted, with the context of its request.

The hook runs on the thread that reports the error. It collects what is known only there. If the event goes to our
transport, the redaction follows on a sender's thread: it takes longer than the rest of the report.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from functools import partial
from typing import Any, Final

from opentelemetry.sdk.trace import ReadableSpan
from sentry_sdk.client import BaseClient

from mita_otel._json import exact_json_bytes, parse_json
from mita_otel.captured import event_id_of, is_dropped, is_reported, mark
from mita_otel.finance.reported_errors import report_issue
from mita_otel.processors.captured_exceptions import CapturedExceptions
from mita_otel.processors.ended_requests import EndedRequest, ended_request
from mita_otel.processors.finished_spans import estimated_bytes
from mita_otel.processors.queues.losses import Losses
from mita_otel.redaction import BeforeSend, Redactor
from mita_otel.semconv import BREADCRUMB_EVENT
from mita_otel.sentry.active_roots import ActiveRoots
from mita_otel.sentry.breadcrumbs import Breadcrumbs, Steps, of_events, time_of
from mita_otel.sentry.crash_records import mark_crash
from mita_otel.sentry.dropped_errors import IgnoredLogLines
from mita_otel.sentry.mapping.contexts import financial_contexts, process_contexts, request_of_span, user_of
from mita_otel.sentry.mapping.issue_event import enrich, trace_context
from mita_otel.sentry.mapping.span_tree import key_of
from mita_otel.sentry.mapping.tags import own_tags, shared_attributes, tags_of
from mita_otel.sentry.mapping.transaction_name import transaction_name
from mita_otel.sentry.scope_content import GENERATED_SOURCES, ScopeContents
from mita_otel.sentry.transport.envelope_items import OTHER_STAGE, DeferredEvent
from mita_otel.sentry.transport.transport import SentryTransport

Hint = MutableMapping[str, Any]

TRACE_IS_SET: Final = "mita_otel.trace_is_set"
"""Key of a hint: the event has the trace context of its log record or span. The current span must not replace it."""
IS_DESCRIBED: Final = "mita_otel.is_described"
"""Key of a hint: the financial API has described the event and counted it."""
_ERROR: Final = 17
_FATAL: Final = 21
"""OpenTelemetry's severity numbers."""
_ERRORS: Final = frozenset({"error", "fatal"})


class BeforeSendHook:
    """The `before_send` hook for sentry-sdk.

    Args:
        redactor: Redacts each event.
        breadcrumbs: Log records as breadcrumbs, by trace.
        roots: The active requests and tasks.
        steps: Queries and outgoing requests of the active requests and tasks. None: they do not become breadcrumbs.
        captured: Remembers exceptions that were sent.
        losses: Counts events that cannot be redacted.
        then: The service's `before_send`. It is called first, on the thread that reports the error, and its result is
            redacted.
        trace_context: Returns the trace context of the current span. It is needed for versions of sentry-sdk that
            cannot read it from OpenTelemetry. An event whose hint has `TRACE_IS_SET` keeps its trace context.
        ignored_log_lines: Patterns of log lines that are no errors; see `IgnoredLogLines`.
    """

    def __init__(
        self,
        redactor: Redactor,
        breadcrumbs: Breadcrumbs,
        roots: ActiveRoots,
        steps: Steps | None,
        captured: CapturedExceptions,
        losses: Losses,
        then: Callable[[Any, Hint], Any] | None = None,
        *,
        trace_context: Callable[[], dict[str, str] | None] | None = None,
        ignored_log_lines: Sequence[str] = (),
    ) -> None:
        self.breadcrumbs = breadcrumbs
        self.roots = roots
        self.steps = steps
        self.captured = captured
        self._losses = losses
        self.redactor = redactor
        """Redacts each event."""
        self._redact = BeforeSend(redactor)
        self._then = then
        self._trace_context = trace_context
        self._lines = ignored_log_lines
        self._ignored_lines = IgnoredLogLines(ignored_log_lines)
        self.scopes = ScopeContents(roots.max_traces)
        """What the service says of active requests through sentry-sdk."""
        self.sampling_context: Callable[[int], Mapping[str, str]] | None = None
        """Returns the sampling context of a trace. None: events have none."""
        self.client: BaseClient | None = None
        """The client that calls this hook. None: unknown, so that the hook redacts each event before it returns."""

    def around(self, then: Callable[[Any, Hint], Any] | None, client: BaseClient) -> BeforeSendHook:
        """Return a hook for another client. Both hooks share breadcrumbs, active roots and captured exceptions."""
        hook = BeforeSendHook(
            self.redactor,
            self.breadcrumbs,
            self.roots,
            self.steps,
            self.captured,
            self._losses,
            then,
            trace_context=self._trace_context,
            ignored_log_lines=self._lines,
        )
        hook.client = client
        hook.sampling_context = self.sampling_context
        hook.scopes = self.scopes
        return hook

    def __call__(self, event: Any, hint: Hint) -> Any:
        """Return the redacted event, or None if its exception was sent before.

        If the client has our transport, return a `DeferredEvent`, which the transport redacts.
        """
        exception = _exception_of(hint)
        record = hint.get("log_record")
        if self._ignored_lines.contain(record) or is_reported(record):
            return None
        ended = ended_request(exception, record)
        trace_id = self._set_trace(event, hint, ended)
        if not self._is_new(event, exception, trace_id, ended):
            return None
        mark_crash(event, hint.get("log_record"))
        if event.get("level", "error") in _ERRORS:
            self.captured.note(trace_id)
            self.roots.failed(trace_id, str(event.get("event_id")))
            if IS_DESCRIBED not in hint:
                _describe(event, exception)
        self._add_request(event, trace_id)
        steps = self._add_breadcrumbs(event, trace_id)
        if self._then is not None:
            event = self._then(_with_breadcrumbs(event, self._crumbs(steps)), hint)
            steps = ()
            if event is None:
                return None
        deferred = self._deferred(event, hint, steps) if self._may_defer(event) else None
        if deferred is not None:
            return deferred
        safe = self._redact(_with_breadcrumbs(event, self._crumbs(steps)), hint)
        if safe is None:
            self._losses.add(OTHER_STAGE, "not_redactable")
        return self._with_sampling_context(safe)

    def _set_trace(self, event: Any, hint: Hint, ended: EndedRequest | None) -> int:
        """Set the trace context of the request that has ended, or of the current span. Return the id of the event's trace."""
        own = None
        if ended is not None:
            own = trace_context(ended.trace_id, ended.span_id)
        elif self._trace_context is not None and TRACE_IS_SET not in hint:
            own = self._trace_context()
        if own is not None:
            event["contexts"] = {**(event.get("contexts") or {}), "trace": own}
        return _trace_id_of(event)

    def _is_new(
        self, event: Any, exception: BaseException | None, trace_id: int, ended: EndedRequest | None
    ) -> bool:
        """Remember an exception, and return whether it, or the error of a request that has ended, was not sent before."""
        if exception is None:
            return ended is None or not (ended.errors or self.captured.happened_in(ended.trace_id))
        own = str(event.get("event_id"))
        if (
            ended is not None
            and event_id_of(exception) is None
            and not self.captured.is_new(trace_id, exception)
        ):
            return False  # its span has reported it: sentry-sdk may need long to prepare the event
        if is_dropped(exception) or (event_id_of(exception) or mark(exception, own)) != own:
            return False
        self.captured.add_exception(trace_id, exception)
        return True

    def _may_defer(self, event: Any) -> bool:
        """Return whether only our transport receives the event. Spotlight receives it too, if it is in use."""
        client = self.client
        return (
            client is not None
            and isinstance(client.transport, SentryTransport)
            and client.spotlight is None
            and not event.get("type")  # check-ins are small, and Sentry needs all their members
        )

    def _deferred(self, event: Any, hint: Hint, steps: Sequence[ReadableSpan]) -> DeferredEvent | None:
        """Return the event for redaction on another thread, or None if JSON cannot represent it exactly.

        JSON is the snapshot: the service may change the event's objects later, and the queue is bounded in bytes.
        """
        content = exact_json_bytes(event)
        if content is None:
            return None
        self._redact.remove_attachments(hint)
        size = len(content) + sum(map(estimated_bytes, steps))
        return DeferredEvent(event, size, partial(self._redacted, content, steps))

    def _redacted(self, content: bytes, steps: Sequence[ReadableSpan]) -> dict[str, Any] | None:
        event = _with_breadcrumbs(parse_json(content), self._crumbs(steps))
        safe: dict[str, Any] | None = self._with_sampling_context(self.redactor.event(event) or None)
        return safe

    def _with_sampling_context(self, event: Any) -> Any:
        """Add the trace's sampling context to a redacted event. It becomes the header `trace` of the envelope."""
        trace_id = _trace_id_of(event) if event is not None and self.sampling_context is not None else 0
        if trace_id and self.sampling_context is not None:
            event["contexts"]["trace"].setdefault(
                "dynamic_sampling_context", dict(self.sampling_context(trace_id))
            )
        return event

    def _crumbs(self, steps: Sequence[ReadableSpan]) -> list[Any]:
        return self.steps.redacted(steps) if steps and self.steps is not None else []

    def redacted_content(self, root: ReadableSpan) -> dict[str, Any]:
        """Return what the service has said of a request through sentry-sdk, redacted, and forget it."""
        content = self.scopes.take(key_of(root))
        return self.redactor.event(content) if content else {}

    def redacted_breadcrumbs(self, trace_id: int) -> list[Any]:
        """Return the breadcrumbs of a trace, redacted."""
        trail = self.breadcrumbs.of(trace_id)
        if not trail:
            return []
        safe = self.redactor.event({"breadcrumbs": {"values": trail}})
        values = safe.get("breadcrumbs", {}).get("values", [])
        return values if isinstance(values, list) else []

    def _add_request(self, event: Any, trace_id: int) -> None:
        """Add tags, contexts, user, transaction and request of the trace's local root where the event has none."""
        root = self.roots.root_of(trace_id)
        if root is None:
            return
        attributes = shared_attributes(root)
        resource = root.resource.attributes
        event["tags"] = {**own_tags(attributes), **tags_of(attributes, resource), **(event.get("tags") or {})}
        contexts = {**process_contexts(resource), **financial_contexts([attributes])}
        event["contexts"] = {**contexts, **(event.get("contexts") or {})}
        user = user_of([attributes])
        if user:
            event["user"] = {**user, **(event.get("user") or {})}
        source = (event.get("transaction_info") or {}).get("source")
        named = self.scopes.transaction_of(key_of(root))
        if named is None and ("transaction" not in event or source in GENERATED_SOURCES):
            named = transaction_name(root)
        if named is not None:
            event["transaction"], source = named
            event["transaction_info"] = {"source": source}
        if not event.get("request"):
            request = request_of_span(root)
            if request:
                event["request"] = request

    def _add_breadcrumbs(self, event: Any, trace_id: int) -> Sequence[ReadableSpan]:
        """Add the breadcrumbs of the trace, and return its steps, which become breadcrumbs with the redaction."""
        trail = self.breadcrumbs.of(trace_id)
        root = self.roots.root_of(trace_id)
        if self.steps is not None:
            # The event already contains the breadcrumbs of the financial API.
            trail += of_events(one for one in (root.events if root else ()) if one.name != BREADCRUMB_EVENT)
        _with_breadcrumbs(event, trail)
        return self.steps.of(trace_id) if self.steps is not None else ()


def _with_breadcrumbs(event: Any, trail: Sequence[Any]) -> Any:
    """Add breadcrumbs to an event, ordered by time, and return it."""
    if trail:
        present = event.get("breadcrumbs") or {}
        values = present.get("values", []) if isinstance(present, dict) else list(present)
        event["breadcrumbs"] = {"values": sorted([*values, *trail], key=time_of)}
    return event


def _describe(event: Any, exception: BaseException | None) -> None:
    """Describe an error inside a financial operation as the financial API does, and count it."""
    message = str((event.get("logentry") or {}).get("message") or event.get("message") or "")
    level = _FATAL if event.get("level") == "fatal" else _ERROR
    attributes = report_issue(str(event.get("event_id")), exception, message, level=level)
    if attributes is None:
        return
    described: dict[str, Any] = {}
    enrich(described, attributes, {})
    for name in ("tags", "contexts", "user"):
        if described.get(name):
            event[name] = {**described[name], **(event.get(name) or {})}
    if exception is not None and "fingerprint" not in event and described.get("fingerprint"):
        event["fingerprint"] = described["fingerprint"]
    _with_breadcrumbs(event, (described.get("breadcrumbs") or {}).get("values") or [])


def _trace_id_of(event: Any) -> int:
    trace_id = ((event.get("contexts") or {}).get("trace") or {}).get("trace_id")
    try:
        return int(str(trace_id), 16)
    except ValueError:
        return 0


def _exception_of(hint: Hint) -> BaseException | None:
    info = hint.get("exc_info")
    exception = info[1] if isinstance(info, tuple) and len(info) > 1 else None
    return exception if isinstance(exception, BaseException) else None
