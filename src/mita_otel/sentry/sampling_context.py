"""The dynamic sampling context: what travels with a trace so that all its parts are sampled and scaled alike.

Source: Sentry's Dynamic Sampling Context. It belongs to the head of the trace: what came from outside is passed
on as it came, what begins here is fixed when it is first needed.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final

from opentelemetry.trace import SpanKind, format_trace_id

from mita_otel.processors.queues.forks import ForkSafeLock
from mita_otel.sentry.active_roots import ActiveRoots
from mita_otel.sentry.mapping.description import describe

Items = Mapping[str, str]

_MATCH_ALL: Final = ".*"
"""sentry-sdk's default of `trace_propagation_targets`."""
_ORGANIZATION: Final = re.compile(r"o(\d+)\.")
_RANDOM_BITS: Final = 56
"""The random bits of a trace id (W3C Trace Context, level 2)."""


class SamplingContexts:
    """Knows the dynamic sampling context of each trace; thread-safe.

    Args:
        base: What is the same for every trace that begins here: public key, environment, release, organisation.
        roots: The requests that are under way, for the transaction's name.
        max_traces: Traces whose context is remembered.
        redact: Takes the secrets out of what comes from outside, and of a transaction's name: the spans that are
            under way are raw.
    """

    def __init__(
        self, base: Items, roots: ActiveRoots, max_traces: int, redact: Callable[[str], str]
    ) -> None:
        self._redact = redact
        self._base = dict(base)
        self._roots = roots
        self._max_traces = max_traces
        self._frozen: OrderedDict[int, tuple[dict[str, str], bool]] = OrderedDict()
        """Entries by trace, and whether they came from outside."""
        self._lock = ForkSafeLock()
        self.targets: list[re.Pattern[str]] | None = None
        """Patterns of URLs that get Sentry's headers, if a service's own Sentry client names any."""
        self.strict = False
        """Whether a service's own Sentry client wants strict continuation."""

    @property
    def org_id(self) -> str | None:
        """The organisation that the DSN belongs to, if it says."""
        return self._base.get("org_id")

    def say(self, **base: str | None) -> None:
        """Say more of every trace that begins here from now on."""
        self._base.update({name: value for name, value in base.items() if value})

    def follow(self, options: Mapping[str, Any]) -> None:
        """Heed what a service says to its own Sentry client about propagation, beside the policy."""
        targets = options.get("trace_propagation_targets")
        if targets is not None and list(targets) != [_MATCH_ALL]:
            self.targets = [re.compile(one) for one in targets]
        self.strict = bool(options.get("strict_trace_continuation"))
        if options.get("org_id"):
            self.say(org_id=str(options["org_id"]))

    def freeze(self, trace_id: int, items: Items) -> None:
        """Remember the context that came with a trace. One without any entry is frozen as well: we are not its head."""
        # What came is not ours to judge, but what leaves is: other services name transactions by raw paths.
        self._remember(
            trace_id, {name: self._redact(value) for name, value in items.items()}, from_outside=True
        )

    def of(self, trace_id: int, *, sampled: bool | None = None, rate: float | None = None) -> dict[str, str]:
        """Return the context of a trace, and fix it if the trace began here.

        Args:
            trace_id: The trace.
            sampled: Whether it is kept; None: that is decided when it has ended.
            rate: The rate that was applied, if that is known.
        """
        frozen, from_outside = self._frozen.get(trace_id) or self._begin(trace_id)
        if frozen and from_outside:
            return dict(frozen)
        items = dict(frozen)
        if not frozen:
            # The sender knows nothing of this: Relay wants at least these two.
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
            said = describe(root)
            # A raw path has as many values as there are accounts; before routing there is nothing better.
            if said.source != "url" and (said.source == "route" or root.kind is not SpanKind.SERVER):
                items["transaction"] = self._redact(said.description)
        self._remember(trace_id, items, from_outside=False)
        return items, False

    def _remember(self, trace_id: int, items: dict[str, str], *, from_outside: bool) -> None:
        with self._lock:
            self._frozen[trace_id] = (items, from_outside)
            self._frozen.move_to_end(trace_id)
            if len(self._frozen) > self._max_traces:
                self._frozen.popitem(last=False)


def organization_of(host: str) -> str | None:
    """Return the id of the organization that the host of a DSN names, as in `o123.ingest.sentry.io`."""
    found = _ORGANIZATION.match(host)
    return found.group(1) if found else None


def sample_rand(trace_id: int) -> str:
    """Return the random number of a trace, 0 to 1, as Sentry writes it: a trace is kept if it is below the rate.

    It is that of OpenTelemetry's consistent sampling, turned round, so that a service with Sentry's own SDK and
    the same rate keeps the traces that we keep.
    """
    bits = trace_id & ((1 << _RANDOM_BITS) - 1)
    millionths = (((1 << _RANDOM_BITS) - 1 - bits) * 1_000_000) >> _RANDOM_BITS
    return f"0.{millionths:06d}"
