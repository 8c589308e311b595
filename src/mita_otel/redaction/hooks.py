"""For those who use only the redactor: a logging filter, and a `before_send` for sentry-sdk."""

from __future__ import annotations

import logging
import traceback
from collections.abc import MutableMapping
from typing import Any

from mita_otel.errors import raise_interrupt
from mita_otel.redaction.known_secrets import Findings
from mita_otel.redaction.log_messages import STANDARD_ATTRIBUTES, keep_type
from mita_otel.redaction.marker import ERROR
from mita_otel.redaction.redactor import Redactor


class RedactingFilter(logging.Filter):
    """A filter that redacts log records: message, arguments, extras and exception.

    Put it on a handler. The record is changed in place, so handlers after this one see it redacted too. It keeps
    its template and as many arguments as before, which formatters such as uvicorn's read; its exception becomes
    text, since a handler could read the raw message off the object.

    Args:
        redactor: Redacts the record. None: one with the default policy.

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
        except BaseException as error:  # noqa: BLE001 - fail closed, and logging must never raise
            raise_interrupt(error)
            record.msg, record.args = ERROR, None
            record.exc_info, record.exc_text, record.stack_info = None, None, None
            for name in set(vars(record)) - STANDARD_ATTRIBUTES:
                setattr(record, name, ERROR)
        return True

    def _redact(self, record: logging.LogRecord) -> None:
        findings = self._redactor.findings()
        known = -1
        while len(findings.known) > known:  # again, if a part shows a secret that others repeat
            known = len(findings.known)
            self._redact_parts(record, findings)

    def _redact_parts(self, record: logging.LogRecord, findings: Findings) -> None:
        self._redact_message(record, findings)
        if record.exc_info and record.exc_info[0] is not None:
            record.exc_text = "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
        record.exc_info = None
        if record.exc_text:
            record.exc_text = self._redactor.text(record.exc_text, findings)
        if record.stack_info:
            record.stack_info = self._redactor.text(record.stack_info, findings)
        for name in set(vars(record)) - STANDARD_ATTRIBUTES:
            setattr(record, name, self._redactor.value(name, getattr(record, name), findings))

    def _redact_message(self, record: logging.LogRecord, findings: Findings) -> None:
        if not isinstance(record.msg, str) or not record.args:
            record.msg, record.args = self._redactor.text(record.getMessage(), findings), None
            return
        safe = self._redactor.message(record.msg, record.args, findings)
        record.msg, record.args = safe.template, keep_type(record.args, safe.arguments)
        record.getMessage()  # raises if the arguments do not fit, as it would have before


class BeforeSend:
    """A `before_send` and `before_send_transaction` for `sentry_sdk.init`.

    Attachments cannot be inspected: they are removed, unless `redaction.attachments` of the policy allows
    them.

    Args:
        redactor: Redacts events. None: one with the default policy.

    Example:
        >>> sentry_sdk.init(before_send=BeforeSend(), before_send_transaction=BeforeSend())
    """

    def __init__(self, redactor: Redactor | None = None) -> None:
        self._redactor = redactor or Redactor()

    def __call__(self, event: Any, hint: MutableMapping[str, Any]) -> Any:
        """Return the event without its secrets, or None to drop one that could not be redacted."""
        self.remove_attachments(hint)
        return self._redactor.event(event) or None

    def remove_attachments(self, hint: MutableMapping[str, Any]) -> None:
        """Remove the attachments of an event, unless the policy allows them."""
        if not self._redactor.policy.attachments and hint.get("attachments"):
            hint["attachments"] = []
