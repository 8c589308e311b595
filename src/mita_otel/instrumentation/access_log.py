"""Access logs of servers: paths, queries and headers are redacted before any handler writes them.

Servers configure logging after `configure()` and replace handlers. The change is therefore on `Logger.handle`, which
every record passes before filters and handlers.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from mita_otel.errors import raise_interrupt
from mita_otel.instrumentation.patches import Patches
from mita_otel.redaction import Findings, Redactor
from mita_otel.redaction.log_messages import STANDARD_ATTRIBUTES, keep_type
from mita_otel.redaction.marker import ERROR
from mita_otel.redaction.remembered_texts import BenignTexts

_CLIENT: Final = re.compile(r"(?:\d{1,3}(?:\.\d{1,3}){3}|\[?[0-9a-f:]{2,39}\]?):\d{1,5}")
"""A client's address and port, as uvicorn writes them."""
_CONTENT: Final = (str, bytes, Mapping, list, tuple, set, frozenset)
"""Types of extras that are redacted. Handlers need others as they are: Django passes the request."""
_PATH: Final = "/hunter2-Zx9"
"""Replaces paths in the shape of a message. It is redacted where the words before it announce a secret."""


class AccessLogRedaction:
    """Redacts the messages, arguments and extras of servers' loggers.

    A record keeps its template, and as many arguments of the same types: formatters such as uvicorn's read them. Its
    exception stays, since error trackers read it.

    Args:
        loggers: Names of the loggers.
        redactor: The redactor.
    """

    def __init__(self, loggers: Sequence[str], redactor: Redactor) -> None:
        self._loggers = frozenset(loggers)
        self._redactor = redactor
        policy = redactor.policy
        # A custom rule may match any part of a message; the rule on addresses matches the client's.
        exact = bool(policy.custom) or policy.modes.get("ip", "off") != "off"
        self._benign = BenignTexts(0 if exact else policy.max_cached)

    def install(self, patches: Patches) -> None:
        """Redact from now on, whenever the server configures logging."""
        patches.wrap(logging, "Logger.handle", self._handle)

    def _handle(
        self, wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        record = args[0] if args else kwargs.get("record")
        if isinstance(record, logging.LogRecord) and record.name in self._loggers:
            self.redact(record)
        return wrapped(*args, **kwargs)

    def redact(self, record: logging.LogRecord) -> None:
        """Redact a record in place. Never raises."""
        try:
            findings = self._redactor.findings()
            known = -1
            while len(findings.known) > known:  # again, if a part shows a secret that others repeat
                known = len(findings.known)
                self._redact_message(record, findings)
                self._redact_extras(record, findings)
        except BaseException as error:  # noqa: BLE001 - fail closed, and logging must never raise
            raise_interrupt(error)
            record.args = _withheld(record.args)
            if not record.args:
                record.msg = ERROR

    def _redact_message(self, record: logging.LogRecord, findings: Findings) -> None:
        if not isinstance(record.msg, str) or not record.args:
            record.msg, record.args = self._redactor.text(record.getMessage(), findings), None
        elif not self._is_benign(record.msg, record.args):
            safe = self._redactor.message(record.msg, record.args, findings)
            record.msg, record.args = safe.template, keep_type(record.args, safe.arguments)

    def _redact_extras(self, record: logging.LogRecord, findings: Findings) -> None:
        for name in vars(record).keys() - STANDARD_ATTRIBUTES:
            value = getattr(record, name)
            if isinstance(value, _CONTENT):
                setattr(record, name, self._redactor.value(name, value, findings))

    def _is_benign(self, template: str, arguments: Any) -> bool:
        """Return whether a message has no secret: its paths have none, and messages of its shape have none."""
        if not isinstance(arguments, tuple) or not all(type(one) in (str, int) for one in arguments):
            return False
        paths = [one for one in arguments if isinstance(one, str) and one.startswith("/")]
        if any(self._redactor.text(path) != path for path in paths):
            return False
        shape = template % tuple(_constant(one) for one in arguments)
        if shape in self._benign:
            return True
        return self._redactor.text(shape) == shape and self._benign.add(shape)


def _constant(argument: str | int) -> str | int:
    """Return an argument, or the constant that replaces paths and addresses, which differ between requests."""
    if isinstance(argument, int):
        return argument
    if argument.startswith("/"):
        return _PATH
    return "client" if _CLIENT.fullmatch(argument) else argument


def _withheld(arguments: Any) -> Any:
    """Return as many arguments as before, without their texts."""
    if isinstance(arguments, Mapping):
        return {name: _number_or_marker(value) for name, value in arguments.items()}
    return tuple(map(_number_or_marker, arguments)) if isinstance(arguments, tuple) else arguments


def _number_or_marker(value: Any) -> Any:
    return value if isinstance(value, (int, float)) else ERROR
