"""Records requests that access cardholder data in the audit trail, before their response (PCI DSS 10.2.1.1)."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final

from opentelemetry import trace

from mita_otel.finance.audit_signal import notify_audit
from mita_otel.finance.facts import known_facts
from mita_otel.finance.request import RequestState
from mita_otel.finance.runtime import FinanceRuntime

_EVENT_TYPE: Final = "data_access"
_REFUSED: Final = frozenset({401, 403})
_FAILED_FROM: Final = 400


async def audit_access(runtime: FinanceRuntime, state: RequestState, status: int) -> None:
    """Record a request in PCI scope, if the audit trail wants it.

    The trail waits for the disk, so a thread does it while the event loop serves other requests.

    Args:
        runtime: The configured instance.
        state: The request.
        status: The status of the response.
    """
    if not state.facts.pci or not runtime.wants_access():
        return
    span = state.server_span or trace.get_current_span()
    record = partial(
        notify_audit,
        runtime,
        known_facts(),
        span.get_span_context(),
        kind="custom",
        name=_EVENT_TYPE,
        outcome="refused" if status in _REFUSED else "failure" if status >= _FAILED_FROM else "success",
        details={"method": state.method, "route": state.route, "status": status},
    )
    try:
        asyncio.get_running_loop()
    except RuntimeError:  # not asyncio's event loop
        record()
        return
    await asyncio.to_thread(record)
