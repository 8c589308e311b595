"""Records, policies and a list of losses for tests of the spool."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mita_otel.mobile.destinations import SpoolRecord
from mita_otel.mobile.spool import Spool
from mita_otel.policy import default_policy
from mita_otel.policy.mobile import MobileSpoolPolicy, Priority

ANYTHING: Callable[[SpoolRecord], bool] = lambda record: True  # noqa: E731


class Lost(list[tuple[str, Priority]]):
    def __call__(self, reason: str, priority: Priority) -> None:
        self.append((reason, priority))


def spool_policy(**changes: Any) -> MobileSpoolPolicy:
    return default_policy().mobile.spool.replace(**changes)


def make(folder: Path, lost: Lost | None = None, **changes: Any) -> Spool:
    return Spool(spool_policy(**changes), folder / "spool", lost if lost is not None else Lost())


_times = itertools.count(1)


def record(priority: Priority = "error", **more: Any) -> SpoolRecord:
    said: dict[str, Any] = {"received_s": float(next(_times)), "header": {"event_id": "a" * 32}, **more}
    return SpoolRecord("sentry", "app", priority, ("error",), **said)


def files(folder: Path) -> list[Path]:
    return sorted((folder / "spool").rglob("*.record"))


def drained(spool: Spool, may_go: Callable[[SpoolRecord], bool] = ANYTHING) -> list[bytes]:
    payloads = []
    while (waiting := spool.take(may_go)) is not None:
        payloads.append(spool.read(waiting)[1])
        spool.done(waiting)
    return payloads
