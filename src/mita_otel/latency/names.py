"""The names that operations are shown by: without secrets, and no more of them than the policy allows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mita_otel.latency.operations import OTHER, Operation


@dataclass(slots=True)
class _Name:
    shown: Operation
    seen_s: float


class OperationNames:
    """Gives operations the names that summaries, metrics and messages use.

    An application may have put anything into a name: it is redacted, once. Operations beyond the bound are
    `(other)` of their kind.

    Args:
        max_operations: How many are told apart.
        redact: Takes secrets out of a name.
        clock: Seconds since the epoch.
    """

    def __init__(
        self, max_operations: int, *, clock: Callable[[], float], redact: Callable[[str], str] = str
    ) -> None:
        self._max_operations = max_operations
        self._redact = redact
        self._clock = clock
        self._names: dict[Operation, _Name] = {}

    def shown(self, operation: Operation) -> Operation:
        """Return the operation as it may be shown."""
        name = self._names.get(operation)
        if name is not None:
            name.seen_s = self._clock()
            return name.shown
        if len(self._names) >= self._max_operations:
            return Operation(operation.kind, OTHER)
        shown = Operation(operation.kind, self._redact(operation.name))
        self._names[operation] = _Name(shown, self._clock())
        return shown

    def known(self, operation: Operation) -> Operation | None:
        """Return the operation as it is shown, or None if it was never seen, or is one of the others."""
        name = self._names.get(operation)
        return name.shown if name is not None else None

    def forget(self, before_s: float) -> None:
        """Forget operations that were not seen since `before_s` (seconds since the epoch)."""
        for operation in [one for one, name in list(self._names.items()) if name.seen_s < before_s]:
            self._names.pop(operation, None)
