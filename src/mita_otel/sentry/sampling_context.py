"""The dynamic sampling context: it is propagated with a trace, so that all services sample and scale it alike.

Source: Sentry's Dynamic Sampling Context. The head of the trace sets it. A context from another service is passed on
redacted and otherwise unchanged. The context of a trace that starts here is fixed at its first use.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final

from opentelemetry.trace import SpanKind, format_trace_id
from sentry_sdk.client import BaseClient
from sentry_sdk.utils import Dsn

from mita_otel.policy.sentry import SentryPolicy
from mita_otel.processors.queues.forks import ForkSafeLock
from mita_otel.redaction import Redactor
from mita_otel.sentry.active_roots import ActiveRoots
from mita_otel.sentry.mapping.transaction_name import transaction_name

Items = Mapping[str, str]

_MATCH_ALL: Final = ".*"
"""sentry-sdk's default of `trace_propagation_targets`."""
_ORGANIZATION: Final = re.compile(r"o(\d+)\.")
_RANDOM_BITS: Final = 56
"""Number of random bits of a trace id (W3C Trace Context, level 2)."""


class SamplingContexts:
    """Remembers the dynamic sampling context of each trace; thread-safe.

    Args:
        base: Entries of each trace that starts here: public key, environment, release, organisation.
        roots: The active requests, for the transaction's name.
        max_traces: Maximum number of traces whose context is remembered.
        redact: Redacts contexts from other services and transaction names. It is needed for the names because
            active spans are not redacted yet.
    """

    def __init__(
        self, base: Items, roots: ActiveRoots, max_traces: int, redact: Callable[[str], str]
    ) -> None:
        self._redact = redact
        self._base = dict(base)
        self._roots = roots
        self._max_traces = max_traces
        self._frozen: OrderedDict[int, tuple[dict[str, str], bool]] = OrderedDict()
        """Entries by trace, and whether another service has set them."""
        self._lock = ForkSafeLock()
        self.targets: list[re.Pattern[str]] | None = None
        """URL patterns that the service's own Sentry client sets for Sentry's headers. None: it sets no patterns."""
        self.strict = False
        """Whether the service's own Sentry client enables strict continuation."""

    @property
    def org_id(self) -> str | None:
        """Id of the DSN's organisation, if it is known."""
        return self._base.get("org_id")

    def set_base(self, **base: str | None) -> None:
        """Set entries for each trace that starts here from now on. Empty values are ignored."""
        self._base.update({name: value for name, value in base.items() if value})

    def follow(self, options: Mapping[str, Any]) -> None:
        """Apply the propagation options of the service's own Sentry client, in addition to the policy."""
        targets = options.get("trace_propagation_targets")
        if targets is not None and list(targets) != [_MATCH_ALL]:
            self.targets = [re.compile(one) for one in targets]
        self.strict = bool(options.get("strict_trace_continuation"))
        if options.get("org_id"):
            self.set_base(org_id=str(options["org_id"]))

    def freeze(self, trace_id: int, items: Items) -> None:
        """Remember the context of a trace that another service started. An empty context is remembered as well."""
        # Other services may name transactions by raw paths, so values are redacted before they are passed on.
        self._remember(
            trace_id, {name: self._redact(value) for name, value in items.items()}, from_outside=True
        )

    def of(self, trace_id: int, *, sampled: bool | None = None, rate: float | None = None) -> dict[str, str]:
        """Return the context of a trace, and fix it if the trace started here.

        Args:
            trace_id: The trace.
            sampled: Whether the trace is kept. None: this is decided when the trace ends.
            rate: The sample rate, if it is known.
        """
        frozen, from_outside = self._frozen.get(trace_id) or self._begin(trace_id)
        if frozen and from_outside:
            return dict(frozen)
        items = dict(frozen)
        if not frozen:
            # The sender has set no context. Relay needs at least these two entries.
            items["trace_id"] = format_trace_id(trace_id)
            items.update({name: value for name, value in self._base.items() if name == "public_key"})
        if sampled is not None:
            items.setdefault("sampled", "true" if sampled else "false")
        if rate is not None:
            items.setdefault("sample_rate", f"{rate:g}")
        return items

    def _begin(self, trace_id: int) -> tuple[dict[str, str], bool]:
        items = {**self._base, "trace_id": format_trace_id(trace_id), "sample_rand": sample_rand(trace_id)}
        root = self._roots.root_of(trace_id)
        if root is not None:
            named = transaction_name(root)
            # A raw path can contain an account number, so it is not used. The route is unknown before routing.
            if named.source != "url" and (named.source == "route" or root.kind is not SpanKind.SERVER):
                items["transaction"] = self._redact(named.name)
        self._remember(trace_id, items, from_outside=False)
        return items, False

    def _remember(self, trace_id: int, items: dict[str, str], *, from_outside: bool) -> None:
        with self._lock:
            self._frozen[trace_id] = (items, from_outside)
            self._frozen.move_to_end(trace_id)
            if len(self._frozen) > self._max_traces:
                self._frozen.popitem(last=False)


def sampling_contexts(
    client: BaseClient, roots: ActiveRoots, policy: SentryPolicy, redactor: Redactor
) -> SamplingContexts:
    """Return the sampling contexts of a client. Traces that start here have its key, environment and release."""
    dsn = Dsn(client.dsn) if client.dsn else None
    base = {
        "public_key": dsn.public_key if dsn else None,
        "environment": client.options.get("environment"),
        "release": client.options.get("release"),
        "org_id": policy.propagation.org_id or (organization_of(dsn.host) if dsn else None),
    }
    known = {name: str(value) for name, value in base.items() if value}
    return SamplingContexts(known, roots, policy.propagation.max_traces, redactor.text)


def organization_of(host: str) -> str | None:
    """Return the organisation id in the host of a DSN, such as `o123.ingest.sentry.io`, or None."""
    found = _ORGANIZATION.match(host)
    return found.group(1) if found else None


def sample_rand(trace_id: int) -> str:
    """Return the random number of a trace, 0 to 1, in Sentry's format. A trace is kept if it is below the rate.

    It is 1 minus the random number of OpenTelemetry's consistent sampling. A service with Sentry's SDK and the same
    rate therefore keeps the same traces.
    """
    bits = trace_id & ((1 << _RANDOM_BITS) - 1)
    millionths = (((1 << _RANDOM_BITS) - 1 - bits) * 1_000_000) >> _RANDOM_BITS
    return f"0.{millionths:06d}"
