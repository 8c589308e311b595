"""Redacts items: the structure of each type is Sentry's, the values are the app's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from mita_otel.redaction import Redactor

_EVENTS: Final = frozenset({"event", "transaction", "feedback", "user_report", "check_in", "client_report"})
_LISTS: Final = frozenset({"span", "log", "trace_metric"})
_SESSIONS: Final = frozenset({"session", "sessions"})
_SESSION_KEYS: Final = frozenset(
    {
        "sid", "did", "seq", "init", "started", "timestamp", "status", "errors", "duration", "attrs", "release",
        "environment", "user_agent", "abnormal_mechanism", "aggregates", "exited", "errored", "abnormal", "crashed",
        "unhandled",
    }
)  # fmt: skip
"""The fields of a session. `sid` is its id, not a cookie."""
_HEADER_KEYS: Final = ("type", "content_type", "item_count", "attachment_type", "filename", "platform")
"""Fields that an item's header keeps. The length is computed anew."""
_TRACE_IDS: Final = frozenset({"trace_id", "replay_id"})
_ID_LENGTH: Final = 32
_LONG_NUMBER: Final = 10**13
_AUTO_ADDRESS: Final = "{{auto}}"
_NEVER_INFER: Final = {"infer_ip": "never"}

Tally = Counter[str]


class NotRedactable(Exception):  # noqa: N818 - it is an outcome, not an error of the gateway
    """A value could not be redacted, so it is not forwarded."""


class ItemRedactor:
    """Redacts items and headers.

    Args:
        redactor: The redaction boundary.
    """

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor

    def value(self, kind: str, value: Any, tally: Tally) -> Any:
        """Return an item's redacted JSON value.

        Args:
            kind: The item's type.
            value: The parsed payload.
            tally: Counts redacted values by rule.

        Raises:
            NotRedactable: The value could not be redacted.
        """
        if not isinstance(value, Mapping):
            return self._redactor.value(kind, value, tally)
        if kind in _SESSIONS:
            return self._session(value, tally)
        if kind == "span" and "items" not in value:
            return self._checked(value, self._redactor.event({"spans": [value]}, tally)).get("spans", [{}])[0]
        if kind not in _EVENTS | _LISTS:
            return self._checked(value, self._redactor.attributes(value, tally))
        safe = self._checked(value, self._redactor.event(value, tally))
        if kind in _LISTS:
            _settle_types(safe)
        else:
            _forget_address(safe)
        return safe

    def envelope_header(self, header: Mapping[str, Any], tally: Tally) -> dict[str, Any]:
        """Return the forwarded part of an envelope's header: id, time, SDK and sampling context."""
        kept: dict[str, Any] = {}
        for name in ("event_id", "sent_at"):
            if isinstance(header.get(name), str):
                kept[name] = self._redactor.text(header[name][:64], tally)
        sdk, trace = header.get("sdk"), header.get("trace")
        if isinstance(sdk, Mapping):
            kept["sdk"] = self._checked(sdk, self._redactor.event({"sdk": sdk}, tally)).get("sdk", {})
        if isinstance(trace, Mapping):
            ids = {name: trace[name] for name in _TRACE_IDS if _is_id(trace.get(name))}
            rest = {name: value for name, value in trace.items() if name not in ids}
            kept["trace"] = {**ids, **self._redactor.attributes(rest, tally)}
        return kept

    def item_header(self, header: Mapping[str, Any], tally: Tally) -> dict[str, Any]:
        """Return the forwarded part of an item's header."""
        return {
            name: self._redactor.text(header[name], tally) if isinstance(header[name], str) else header[name]
            for name in _HEADER_KEYS
            if isinstance(header.get(name), str | int)
        }

    def _session(self, value: Mapping[str, Any], tally: Tally) -> dict[str, Any]:
        safe: dict[str, Any] = {}
        for name, member in value.items():
            if name not in _SESSION_KEYS:
                if not (name == "ip_address" and member == _AUTO_ADDRESS):
                    safe.update(self._redactor.attributes({name: member}, tally))
            else:
                safe[name] = self._session_member(member, tally)
        return safe

    def _session_member(self, member: Any, tally: Tally) -> Any:
        if isinstance(member, Mapping):
            return self._session(member, tally)
        if isinstance(member, list):
            return [self._session_member(one, tally) for one in member]
        return self._plain(member, tally)

    def _plain(self, value: Any, tally: Tally) -> Any:
        if isinstance(value, str):
            return value if _is_id(value.replace("-", "")) else self._redactor.text(value, tally)
        # Milliseconds since the epoch have 13 digits. A longer number is not a time.
        is_long = isinstance(value, int | float) and abs(value) >= _LONG_NUMBER
        return self._redactor.value("", value, tally) if is_long else value

    @staticmethod
    def _checked(value: Mapping[str, Any], safe: dict[str, Any]) -> dict[str, Any]:
        if value and not safe:
            raise NotRedactable
        return safe


def _is_id(value: Any) -> bool:
    return (
        isinstance(value, str)
        and len(value) == _ID_LENGTH
        and all(c in "0123456789abcdefABCDEF" for c in value)
    )


def _settle_types(safe: Mapping[str, Any]) -> None:
    """Set the type of attributes whose value became a marker to text, and remove those without a value."""
    items = safe.get("items")
    for item in items if isinstance(items, list) else ():
        attributes = item.get("attributes") if isinstance(item, dict) else None
        if not isinstance(attributes, dict):
            continue
        for name, attribute in list(attributes.items()):
            if not isinstance(attribute, dict):
                continue
            if "value" not in attribute:
                del attributes[name]
            elif isinstance(attribute["value"], str) and attribute.get("type") != "string":
                attribute["type"] = "string"


def _forget_address(event: dict[str, Any]) -> None:
    """Stop Sentry from inferring the address, which would be this gateway's."""
    user = event.get("user")
    if isinstance(user, dict) and user.get("ip_address") == _AUTO_ADDRESS:
        del user["ip_address"]
    sdk = event.get("sdk")
    if isinstance(sdk, dict):
        settings = sdk.get("settings")
        sdk["settings"] = {**(settings if isinstance(settings, dict) else {}), **_NEVER_INFER}
