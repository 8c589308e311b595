"""For those who use only the redactor: a logging filter, and a `before_send` for sentry-sdk."""

from __future__ import annotations

import logging
import traceback
from collections.abc import MutableMapping
from typing import Any, Final

from mita_otel.redaction.redactor import Redactor

_WITHHELD: Final = "[redacted:error]"
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""Attributes of a record that logging itself sets. The others are the application's `extra`."""


class RedactingFilter(logging.Filter):
    """A filter that takes the secrets out of log records: message, arguments, extras and exception.

    Put it on a handler. The record is changed in place, so handlers after this one see it redacted too;
    its exception becomes text, since a handler could read the raw message off the object.

    Args:
        redactor: Takes the secrets out. None: one with the default policy.

    Example:
        >>> handler.addFilter(RedactingFilter())
    """

    def __init__(self, redactor: Redactor | None = None) -> None:
        super().__init__()
        self._redactor = redactor or Redactor()

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact the record. Always lets it through."""
        try:
            self._redact(record)
        except Exception:  # noqa: BLE001 - fail closed, and logging must never raise
            record.msg, record.args = _WITHHELD, None
            record.exc_info, record.exc_text, record.stack_info = None, None, None
            for name in set(vars(record)) - _STANDARD:
                setattr(record, name, _WITHHELD)
        return True

    def _redact(self, record: logging.LogRecord) -> None:
        record.msg, record.args = self._redactor.text(record.getMessage()), None
        if record.exc_info and record.exc_info[0] is not None:
            record.exc_text = "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
        record.exc_info = None
        if record.exc_text:
            record.exc_text = self._redactor.text(record.exc_text)
        if record.stack_info:
            record.stack_info = self._redactor.text(record.stack_info)
        for name in set(vars(record)) - _STANDARD:
            setattr(record, name, self._redactor.value(name, getattr(record, name)))


class BeforeSend:
    """A `before_send` and `before_send_transaction` for `sentry_sdk.init`.

    Attachments cannot be looked at: they are taken off, unless `redaction.attachments` of the policy lets
    them through.

    Args:
        redactor: Takes the secrets out. None: one with the default policy.

    Example:
        >>> sentry_sdk.init(before_send=BeforeSend(), before_send_transaction=BeforeSend())
    """

    def __init__(self, redactor: Redactor | None = None) -> None:
        self._redactor = redactor or Redactor()

    def __call__(self, event: Any, hint: MutableMapping[str, Any]) -> Any:
        """Return the event without its secrets, or None to drop one that could not be looked at."""
        if not self._redactor.policy.attachments and hint.get("attachments"):
            hint["attachments"] = []
        return self._redactor.event(event) or None
