"""Differences between the supported versions of sentry-sdk, 2.17 to 3.0, and the parts of it that have no documentation.

Private names of sentry-sdk are used here only. `tests/test__sentry_compat.py` has a test for each assumption.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import sentry_sdk.consts
import sentry_sdk.integrations.logging
import sentry_sdk.scope
from sentry_sdk import Scope
from sentry_sdk.client import BaseClient
from sentry_sdk.integrations.logging import LoggingIntegration, ignore_logger
from sentry_sdk.utils import event_from_exception

Ids = tuple[str, str]
"""Trace id and span id, hexadecimal."""

LOGGED_RECORD: Final = "auto.log.stdlib"
"""`sentry.origin` of a Sentry log that sentry-sdk made of a record of standard logging."""


def known_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that the installed version knows; it refuses the others.

    2.17 has no logs and metrics, so it needs no hooks for them; 3.0 has no transactions.
    """
    return {name: value for name, value in options.items() if name in sentry_sdk.consts.DEFAULT_OPTIONS}


def no_scrubbing() -> dict[str, Any]:
    """Return options that switch the scrubbing of events off, because the redactor does it.

    sentry-sdk 3.0 has no scrubber: it filters headers, cookies and query strings when its integrations collect them,
    and local variables only if the option asks for it.
    """
    try:
        from sentry_sdk.scrubber import EventScrubber
    except ImportError:
        return {}
    return {"event_scrubber": EventScrubber(denylist=[], pii_denylist=[])}


def logging_integration(*, event_level: int, breadcrumb_level: int | None) -> LoggingIntegration:
    """Return the integration of standard logging, without Sentry logs.

    Args:
        event_level: The lowest level of a record that becomes an event.
        breadcrumb_level: The lowest level of a record that becomes a breadcrumb; None: no record does.
    """
    known = inspect.signature(LoggingIntegration).parameters
    arguments: dict[str, Any] = {"event_level": event_level}
    if "breadcrumb_level" in known:  # 3.0, where `level` is that of Sentry logs
        arguments |= {"breadcrumb_level": breadcrumb_level, "level": None}
    else:
        arguments["level"] = breadcrumb_level
        if "sentry_logs_level" in known:  # since 2.23
            arguments["sentry_logs_level"] = None
    return LoggingIntegration(**arguments)


def ignore_loggers(*names: str) -> Callable[[], None]:
    """Let sentry-sdk ignore the records of loggers. Names may contain `*`.

    Returns:
        The inverse. It keeps the names that were ignored before. 2.17 has no function for it, and no version says
        which names are ignored.
    """
    module = vars(sentry_sdk.integrations.logging)
    ignored: list[set[str]] = [
        value
        for name, value in module.items()
        if name.startswith("_IGNORED_LOGGERS") and isinstance(value, set)
    ]
    before = [set(one) for one in ignored]
    for name in names:
        ignore_logger(name)
    added = [one - known for one, known in zip(ignored, before, strict=True)]

    def undo() -> None:
        for one, new in zip(ignored, added, strict=True):
            one -= new

    return undo


def exception_event(
    exception: BaseException, client: BaseClient, mechanism: Mapping[str, Any]
) -> tuple[Any, dict[str, Any]]:
    """Return an exception as an event, and the hint that belongs to it."""
    arguments: dict[str, Any] = {"mechanism": dict(mechanism)}
    if "client_options" in inspect.signature(event_from_exception).parameters:  # before 3.0
        arguments["client_options"] = client.options
    return event_from_exception(exception, **arguments)


def follow_trace(current_ids: Callable[[], Ids | None]) -> Callable[[], None] | None:
    """Let sentry-sdk link what it sends to the trace of another SDK.

    Args:
        current_ids: Returns the ids of the current span.

    Returns:
        The inverse; None if the installed version cannot do this (before 2.44).
    """
    register = getattr(sentry_sdk.scope, "register_external_propagation_context", None)
    if register is None:
        return None
    register(current_ids)
    undo: Callable[[], None] = sentry_sdk.scope.remove_external_propagation_context
    return undo


def copy_scope(source: Scope, target: Scope) -> None:
    """Copy the content of a scope into an instance of a subclass; both are then independent.

    A fork of a scope has the class of that scope, and `update_from_scope` leaves out processors and the session.
    """
    content = source.fork()
    for name in Scope.__slots__:
        if hasattr(content, name):  # 2.17 does not copy the client
            setattr(target, name, getattr(content, name))


def forget_transaction_name(scope: Scope) -> None:
    """Remove the name of the transaction from a scope. `set_transaction_name` would rename the active span as well."""
    scope._transaction = None
    scope._transaction_info = {}


class _ScopeReader(Scope):
    """A scope that applies its content to an event without event processors."""

    def run_event_processors(self, event: Any, hint: Any) -> Any:
        """Return the event."""
        return event

    def run_error_processors(self, event: Any, hint: Any) -> Any:
        """Return the event."""
        return event


def applied(scopes: Iterable[Scope]) -> dict[str, Any]:
    """Return the content of scopes as members of a transaction's event; later scopes take precedence."""
    reader = _ScopeReader()
    for scope in scopes:
        reader.update_from_scope(scope)
    event: Any = {"type": "transaction"}
    return dict(reader.apply_to_event(event, {}, {}) or {})


def stop_statsd_metrics(client: BaseClient) -> None:
    """Stop the metrics that sentry-sdk had until 2.45: they pass no hook, and Sentry takes them no more."""
    aggregator = getattr(client, "metrics_aggregator", None)
    if aggregator is not None:
        aggregator.kill()
        client.metrics_aggregator = None  # type: ignore[attr-defined]
        logging.getLogger("mita_otel").debug("stopped the statsd metrics of a Sentry client")
