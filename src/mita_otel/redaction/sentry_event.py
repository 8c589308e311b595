"""Redacts Sentry events: Sentry's own members are scanned, the application's are judged by name too.

The keys of an event's structure (`type`, `key`, `modules`, …) are Sentry's and are not judged; the keys inside
`extra`, `vars`, `headers` and similar members are the application's.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

from mita_otel.errors import raise_interrupt
from mita_otel.redaction.marker import DEPTH, ERROR, REMOVED
from mita_otel.redaction.texts import Texts
from mita_otel.redaction.values import Values

_DATA: Final = frozenset({
    "vars", "data", "extra", "user", "contexts", "tags", "headers", "env", "cookies", "query_string", "params",
    "attributes",
})  # fmt: skip
"""Members of an event whose keys are the application's."""
_INTERFACES: Final = frozenset({
    "_meta", "_metrics", "_metrics_summary", "attachments", "breadcrumbs", "check_in_id", "contexts", "csp", "culprit", "debug_meta",
    "dist", "duration", "environment", "errors", "event_id", "exception", "extra", "feedback", "fingerprint",
    "gen_ai", "grouping_config", "items", "level", "logentry", "logger", "measurements", "message", "modules", "monitor_config",
    "monitor_slug", "platform", "profile", "received", "release", "request", "sdk", "server_name", "span_id",
    "spans", "stacktrace", "start_timestamp", "status", "tags", "template", "threads", "timestamp", "trace_id",
    "transaction", "transaction_info", "type", "user", "version",
})  # fmt: skip
"""Keys of an event's structure. Any other key is the application's."""
_SOURCE: Final = frozenset({"pre_context", "context_line", "post_context"})
_IDS: Final = frozenset({
    "event_id", "trace_id", "span_id", "parent_span_id", "segment_id", "profile_id", "profiler_id", "replay_id",
    "debug_id", "code_id", "image_addr", "image_vmaddr", "instruction_addr", "symbol_addr",
})  # fmt: skip
_ID: Final = re.compile(r"[0-9a-fA-F]{16}|[0-9a-fA-F-]{32,64}|0x[0-9a-fA-F]{1,16}")
"""Hexadecimal ids and addresses. One in some hundred thousand has only digits and looks like a card number."""
_WORD: Final = re.compile(r"[A-Za-z_.\-]{1,64}")
"""A key that is no secret itself. A key with digits may be one."""
_MAX_DEPTH: Final = 24

Tally = Counter[str]


class Events:
    """Redacts events.

    Args:
        values: Redact the application's data.
        texts: Redact lines of source code.
        library_locals: Whether stack frames of libraries keep their local variables.
        step: Called between the parts of an event, so that a background thread can pause.
    """

    def __init__(
        self,
        values: Values,
        texts: Texts,
        *,
        library_locals: bool,
        step: Callable[[], None] | None = None,
    ) -> None:
        self._values = values
        self._texts = texts
        self._library_locals = library_locals
        self._step = step

    def redact(self, event: Mapping[str, Any], tally: Tally) -> dict[str, Any]:
        """Return a redacted copy of an event, an error or a transaction."""
        return self._structure(event, tally, 0)

    def _structure(self, mapping: Mapping[str, Any], tally: Tally, depth: int) -> dict[str, Any]:
        safe: dict[str, Any] = {}
        bare = not self._library_locals and mapping.get("in_app") is False
        for key, value in mapping.items():
            if bare and key == "vars":
                tally["library_locals"] += 1
                continue
            try:
                result = self._member(key, value, mapping, tally, depth)
            except BaseException as error:  # noqa: BLE001 - fail closed, value by value
                raise_interrupt(error)
                tally["error"] += 1
                result = ERROR
            if self._step is not None:
                self._step()
            if result is not REMOVED:
                safe[key if _WORD.fullmatch(key) else self._values.plain(key, tally)] = result
        return safe

    def _member(self, key: str, value: Any, owner: Mapping[str, Any], tally: Tally, depth: int) -> Any:
        if key in _IDS and isinstance(value, str) and _ID.fullmatch(value):
            return value
        if key == "contexts" and isinstance(value, Mapping):
            return self._contexts(value, tally)
        if key == "logentry" and isinstance(value, Mapping) and isinstance(value.get("message"), str):
            return self._log_entry(value, value["message"], tally, depth)
        if key in _DATA or (depth == 0 and key not in _INTERFACES and not key.startswith("sentry.")):
            return self._values.value(key, value, tally)
        if key in _SOURCE:
            return self._each(value, lambda line: self._line(line, tally))
        if key == "description" and isinstance(value, str) and str(owner.get("op", "")).startswith("db"):
            data = owner.get("data")
            system = (
                data.get("db.system.name") or data.get("db.system") if isinstance(data, Mapping) else None
            )
            return self._values.sql(value, tally, dialect=system if isinstance(system, str) else None)
        return self._plain(value, tally, depth)

    def _log_entry(self, entry: Mapping[str, Any], template: str, tally: Tally, depth: int) -> dict[str, Any]:
        """Return a log message, its arguments judged with the words before them."""
        rest = {key: value for key, value in entry.items() if key not in ("message", "params")}
        safe = self._values.messages.redact(template, entry.get("params") or (), tally)
        params = {"params": safe.arguments} if "params" in entry else {}
        return {"message": safe.template, **params, **self._structure(rest, tally, depth + 1)}

    def _contexts(self, contexts: Mapping[str, Any], tally: Tally) -> Any:
        trace = contexts.get("trace")
        if not isinstance(trace, Mapping):
            return self._values.value("contexts", contexts, tally)
        ids = {name: value for name, value in trace.items() if name in _IDS and _ID.fullmatch(str(value))}
        rest = {name: value for name, value in trace.items() if name not in ids}
        safe = self._values.value("contexts", {**contexts, "trace": rest}, tally)
        return {**safe, "trace": {**ids, **safe["trace"]}}

    def _plain(self, value: Any, tally: Tally, depth: int) -> Any:
        if depth > _MAX_DEPTH:
            tally["depth"] += 1
            return DEPTH
        if isinstance(value, Mapping):
            return self._structure(value, tally, depth + 1)
        return self._each(value, lambda member: self._one(member, tally, depth))

    def _one(self, member: Any, tally: Tally, depth: int) -> Any:
        if isinstance(member, (Mapping, list, tuple)):
            return self._plain(member, tally, depth + 1)
        return self._values.plain(member, tally)

    def _line(self, line: Any, tally: Tally) -> Any:
        return self._texts.source(line, tally) if isinstance(line, str) else self._values.plain(line, tally)

    def _each(self, value: Any, redact: Callable[[Any], Any]) -> Any:
        if isinstance(value, (list, tuple)):
            return [redact(member) for member in value]
        return redact(value)
