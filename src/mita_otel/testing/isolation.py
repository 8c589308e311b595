"""Puts aside what telemetry keeps for the whole process, and gives it back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import sentry_sdk
from opentelemetry import _logs, propagate, trace
from sentry_sdk import Scope
from sentry_sdk.client import BaseClient

from mita_otel._otel_compat.global_providers import put_aside_providers
from mita_otel._otel_compat.metrics import forget_meters
from mita_otel.audit import installed as audit
from mita_otel.finance import runtime as finance
from mita_otel.sdk import configuration


@contextmanager
def isolated(timeout_s: float = 5.0) -> Iterator[None]:
    """Run with no telemetry in the process: no providers, no Sentry client, no configuration.

    `configure()` can be called inside. At the end its telemetry is shut down, and what was there before applies again.

    Args:
        timeout_s: Seconds that the shutdown of telemetry may take.
    """
    everyone = sentry_sdk.get_global_scope()
    with ExitStack() as stack:
        stack.callback(_move_handles)
        stack.callback(_give_back_client, everyone, everyone.client)
        scopes = [
            stack.enter_context(sentry_sdk.isolation_scope()),
            stack.enter_context(sentry_sdk.new_scope()),
        ]
        stack.callback(propagate.set_global_textmap, propagate.get_global_textmap())
        stack.callback(finance.install, finance.running())
        for put_aside in (audit.put_aside, configuration.put_aside, put_aside_providers):
            stack.callback(put_aside())
        finance.install(None)
        for scope in (everyone, *scopes):
            scope.set_client(None)
        forget_meters("mita_otel")  # their instruments would wait for a provider
        stack.callback(_shut_down, timeout_s)
        yield


def _shut_down(timeout_s: float) -> None:
    telemetry = configuration.configured()
    if telemetry is not None:
        telemetry.shutdown(timeout_s)


def _give_back_client(scope: Scope, client: BaseClient) -> None:
    """Let a scope have a client again, and close the one that was started since."""
    if scope.client is not client:
        scope.client.close(timeout=0)
    scope.set_client(client)


def _move_handles() -> None:
    configuration.move_handles(trace.get_tracer_provider(), _logs.get_logger_provider())
