"""The redaction boundary of context propagation: baggage and the headers that propagators write."""

from __future__ import annotations

import re
from fnmatch import translate
from typing import Any, Final

from opentelemetry import baggage, propagate
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import (
    CarrierT,
    Getter,
    Setter,
    TextMapPropagator,
    default_getter,
    default_setter,
)

from mita_otel.errors import raise_interrupt
from mita_otel.instrumentation.patches import Patches
from mita_otel.policy.redaction import RedactionPolicy
from mita_otel.redaction import Redactor

_IDS: Final = re.compile(
    r"(?i)traceparent|b3|x-b3-.*|uber-trace-id|sentry-trace|x-amzn-trace-id|x-cloud-trace-context|baggage"
)
"""Headers that hold ids of traces and spans; and baggage, whose entries are checked one by one."""


class RedactedPropagator(TextMapPropagator):
    """Writes the headers of another propagator without secrets.

    A baggage entry is sent if the policy allows its name (`redaction.baggage`) and it holds no secret. A header with a
    secret in it is not sent. The ids of the trace are always sent, without baggage if that cannot be checked.

    Args:
        redaction: The policy's section, or a ready redactor.
        propagator: What reads and writes the headers. None: the global one.
    """

    def __init__(
        self, redaction: RedactionPolicy | Redactor, propagator: TextMapPropagator | None = None
    ) -> None:
        self._redactor = redaction if isinstance(redaction, Redactor) else Redactor(redaction)
        self.propagator = propagate.get_global_textmap() if propagator is None else propagator
        """The propagator that reads and writes the headers."""
        self.withheld = 0
        """Entries and headers that were not sent."""
        names = self._redactor.policy.baggage
        self._allowed = re.compile("|".join(map(translate, names)) if names else r"(?!)")

    def extract(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        getter: Getter[CarrierT] = default_getter,
    ) -> Context:
        """Read the headers. They are checked when they are sent on."""
        return self.propagator.extract(carrier, context, getter)

    def inject(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        setter: Setter[CarrierT] = default_setter,
    ) -> None:
        """Write the headers."""
        try:
            safe: Context | None = self._without_secrets(context)
        except BaseException as error:  # noqa: BLE001 - fail closed, and never into the application
            raise_interrupt(error)
            self.withheld += 1
            safe = baggage.clear(context)
        self.propagator.inject(carrier, safe, _Headers(self, setter))

    @property
    def fields(self) -> set[str]:
        """The headers that may be written."""
        return self.propagator.fields

    def may_leave(self, header: str, value: str) -> bool:
        """Return whether a header may be written."""
        if _IDS.fullmatch(header):
            return True
        try:
            allowed = bool(self._redactor.value(header, value) == value)
        except BaseException as error:  # noqa: BLE001 - fail closed
            raise_interrupt(error)
            allowed = False
        self.withheld += not allowed
        return allowed

    def _without_secrets(self, context: Context | None) -> Context | None:
        entries = baggage.get_all(context)
        kept = {name: value for name, value in entries.items() if self._is_harmless(name, value)}
        if len(kept) == len(entries):
            return context
        self.withheld += len(entries) - len(kept)
        safe = baggage.clear(context)
        for name, value in kept.items():
            safe = baggage.set_baggage(name, value, safe)
        return safe

    def _is_harmless(self, name: str, value: object) -> bool:
        if not self._allowed.fullmatch(name):
            return False
        entry = {name: str(value)}
        return self._redactor.attributes(entry) == entry


class _Headers(Setter[Any]):
    """Writes the headers that may be sent."""

    def __init__(self, boundary: RedactedPropagator, setter: Setter[Any]) -> None:
        self._boundary = boundary
        self._setter = setter

    def set(self, carrier: Any, key: str, value: str) -> None:
        if self._boundary.may_leave(key, value):
            self._setter.set(carrier, key, value)


def install_propagator(propagator: TextMapPropagator, patches: Patches) -> None:
    """Make a propagator the global one."""
    before = propagate.get_global_textmap()

    def restore() -> None:
        if propagate.get_global_textmap() is propagator:
            propagate.set_global_textmap(before)

    propagate.set_global_textmap(propagator)
    patches.add(restore)
