"""The gateway's spool: one file per record, redacted, bounded; the least important are evicted first.

Each process has a subfolder and a lock file that it holds while it lives. Records of dead processes are adopted.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import threading
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mita_otel import environment_variables as variables
from mita_otel.mobile.destinations import DamagedRecordError, SpoolRecord, decode_record, encode_record
from mita_otel.mobile.rate_limits import PRIORITIES
from mita_otel.policy.mobile import MobileSpoolPolicy, Priority
from mita_otel.spool import SpoolFolder, SpoolLock, sync_folder, write_file

_logger = logging.getLogger("mita_otel.mobile")

SUFFIX: Final = ".record"
"""Suffix of record files."""


class SpoolFullError(Exception):
    """A record cannot be kept: the spool is full of records of the same importance, or the disk is full."""


@dataclass(frozen=True, slots=True)
class WaitingRecord:
    """A record that waits in the spool."""

    name: str
    """The file's name. Names sort by age."""
    size: int
    record: SpoolRecord


class Spool:
    """The spool of one process; thread-safe.

    Args:
        policy: Bounds.
        folder: The spool's folder. Created on first use.
        on_lost: Called for each evicted or damaged record, with the reason.
        clock: Seconds since the epoch.
    """

    def __init__(
        self,
        policy: MobileSpoolPolicy,
        folder: Path,
        on_lost: Callable[[str, Priority], None],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._policy = policy
        self._root = folder
        self._shared = SpoolFolder(folder)
        self._instance = uuid.uuid4().hex
        self._folder = folder / self._instance
        self._on_lost = on_lost
        self._clock = clock
        self._max_bytes = policy.max_bytes
        self._durable = frozenset(policy.durable)
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._opening = threading.Lock()
        self._queues: dict[Priority, deque[WaitingRecord]] = {priority: deque() for priority in PRIORITIES}
        self._taken: set[str] = set()
        self._bytes = 0
        self._count = 0
        self._owner: SpoolLock | None = None

    def put(self, record: SpoolRecord, payload: bytes) -> None:
        """Keep a record. It then survives the end of the process; a durable one survives a power cut.

        Raises:
            SpoolFullError: It was not kept.
        """
        content = encode_record(record, payload)
        victims = self._reserve(record.priority, len(content))
        for victim in victims:
            self._remove(victim)
            self._on_lost("spool_full", victim.record.priority)
        name = f"{PRIORITIES.index(record.priority)}-{int(record.received_s * 1e9):020d}-{next(self._numbers):08d}"
        try:
            self._write(name + SUFFIX, content, durable=record.priority in self._durable)
        except OSError as error:
            with self._lock:
                self._bytes -= len(content)
                self._count -= 1
            raise SpoolFullError(
                f"the spool {self._root} cannot be written: {error.strerror or error}"
            ) from error
        with self._lock:
            # Only the fields that select a record: the header is read again with the payload.
            known = SpoolRecord(
                record.destination, record.project, record.priority, record.categories, record.form,
                record.received_s,
            )  # fmt: skip
            self._queues[record.priority].append(WaitingRecord(name + SUFFIX, len(content), known))

    def take(self, may_go: Callable[[SpoolRecord], bool]) -> WaitingRecord | None:
        """Return the next record that may be sent, most important first, or None. Call `done` or `give_back` next."""
        answers: dict[tuple[str, str, tuple[str, ...]], bool] = {}
        with self._lock:
            for queue in self._queues.values():
                for position, waiting in enumerate(queue):
                    record = waiting.record
                    key = (record.destination, record.project, record.categories)
                    if key not in answers:
                        answers[key] = may_go(record)
                    if answers[key]:
                        del queue[position]
                        self._taken.add(waiting.name)
                        return waiting
        return None

    def read(self, waiting: WaitingRecord) -> tuple[SpoolRecord, bytes]:
        """Return a taken record and its payload.

        Raises:
            DamagedRecordError: The file was changed or is incomplete.
        """
        try:
            return decode_record((self._folder / waiting.name).read_bytes())
        except OSError as error:
            raise DamagedRecordError(str(error.strerror or error)) from error

    def done(self, waiting: WaitingRecord) -> None:
        """Forget a record that was delivered."""
        self._remove(waiting)
        with self._lock:
            self._taken.discard(waiting.name)
            self._bytes -= waiting.size
            self._count -= 1

    def give_back(self, waiting: WaitingRecord, *, last: bool) -> None:
        """Return a taken record to the queue, before or after the others."""
        with self._lock:
            self._taken.discard(waiting.name)
            queue = self._queues[waiting.record.priority]
            if last:
                queue.append(waiting)
            else:
                queue.appendleft(waiting)

    def adopt(self) -> int:
        """Adopt the records of dead processes. Returns their number."""
        adopted = 0

        def take_over(instance: str) -> bool:
            nonlocal adopted
            adopted += self._adopt_folder(self._root / instance)
            return not (self._root / instance).exists()

        with contextlib.suppress(OSError):
            self._shared.adopt(take_over, own=self._instance, on_error=_leave_for_later)
        return adopted

    def counts(self) -> tuple[int, int, Counter[Priority]]:
        """Return the number of records, their size in bytes, and the number of waiting ones by priority."""
        with self._lock:
            waiting = Counter({priority: len(queue) for priority, queue in self._queues.items() if queue})
            return self._count, self._bytes, waiting

    def close(self) -> None:
        """Release the lock, so that another process can adopt the rest."""
        with self._opening, self._lock:
            owner, self._owner = self._owner, None
            empty = self._count == 0
        if owner is not None:
            if empty:
                with contextlib.suppress(OSError):
                    self._folder.rmdir()
            owner.release(remove=empty and not self._folder.exists())

    def _reserve(self, priority: Priority, size: int) -> list[WaitingRecord]:
        """Reserve space and return the records that must be evicted for it."""
        victims: list[WaitingRecord] = []
        with self._lock:
            while self._count >= self._policy.max_records or self._bytes + size > self._max_bytes:
                victim = self._victim(priority)
                if victim is None:
                    # Evicting these would not have been enough: keep them.
                    for one in victims:
                        self._queues[one.record.priority].append(one)
                        self._bytes += one.size
                        self._count += 1
                    raise SpoolFullError(f"the spool {self._root} is full of records of the same importance")
                victims.append(victim)
                self._bytes -= victim.size
                self._count -= 1
            self._bytes += size
            self._count += 1
        return victims

    def _victim(self, incoming: Priority) -> WaitingRecord | None:
        rank = PRIORITIES.index(incoming)
        for priority in reversed(PRIORITIES):
            queue = self._queues[priority]
            same_is_kept = priority == incoming and incoming in self._durable
            if PRIORITIES.index(priority) < rank or same_is_kept:
                return None
            if queue:
                oldest = min(queue, key=lambda waiting: waiting.name)
                queue.remove(oldest)
                return oldest
        return None

    def _write(self, name: str, content: bytes, *, durable: bool) -> None:
        self._open_folder()
        write_file(self._folder / name, content, durable=durable)

    def _open_folder(self) -> None:
        with self._opening:
            if self._owner is not None:
                return
            self._shared.create()
            owner = self._shared.lock(self._instance)
            if owner is None:
                raise OSError(f"{self._root}: the lock of this process is taken")
            self._folder.mkdir(mode=0o700, exist_ok=True)
            sync_folder(self._root)
            self._owner = owner

    def _adopt_folder(self, folder: Path) -> int:
        adopted = 0
        for path in sorted(folder.iterdir()) if folder.is_dir() else []:
            if not path.name.endswith(SUFFIX):
                path.unlink(missing_ok=True)
                continue
            try:
                record, payload = decode_record(path.read_bytes())
            except DamagedRecordError:
                self._on_lost("damaged", _priority_of(path.name))
                path.unlink()
                continue
            with contextlib.suppress(SpoolFullError):
                self.put(record, payload)
                adopted += 1
                path.unlink()
        with contextlib.suppress(OSError):
            folder.rmdir()
        return adopted

    def _remove(self, waiting: WaitingRecord) -> None:
        with contextlib.suppress(OSError):
            (self._folder / waiting.name).unlink(missing_ok=True)


def _leave_for_later(instance: str, error: OSError) -> None:
    """Leave an owner's files in place. The next attempt follows."""


def spool_folder(policy: MobileSpoolPolicy, env: Mapping[str, str]) -> Path:
    """Return the folder of the spool: `MITA_OTEL_MOBILE_SPOOL`, else `mobile.spool.folder`."""
    return Path(env.get(variables.MOBILE_SPOOL, "").strip() or policy.folder)


def _priority_of(name: str) -> Priority:
    rank = name.partition("-")[0]
    known = rank.isdigit() and int(rank) < len(PRIORITIES)
    return PRIORITIES[int(rank)] if known else PRIORITIES[-1]


@dataclass(frozen=True, slots=True)
class SpoolUsage:
    """The waiting records of one process."""

    records: int
    bytes: int
    oldest_s: float
    """When the oldest one was received, seconds since the epoch."""


def spool_usage(folder: Path) -> Iterator[SpoolUsage]:
    """Yield the usage of each process, without disturbing it. A missing folder is an empty spool.

    Raises:
        OSError: The folder cannot be read.
    """
    for part in sorted(folder.iterdir()) if folder.is_dir() else []:
        found = list(_records(part)) if part.is_dir() else []
        if found:
            yield SpoolUsage(len(found), sum(size for size, _ in found), min(came_s for _, came_s in found))


def _records(part: Path) -> Iterator[tuple[int, float]]:
    """Yield size and time of receipt of each record. Records that are delivered in the meantime are skipped."""
    for path in part.glob(f"*{SUFFIX}"):
        with contextlib.suppress(OSError):
            status = path.stat()
            nanoseconds = path.name.split("-")[1:2]
            known = bool(nanoseconds) and nanoseconds[0].isdigit()
            yield status.st_size, int(nanoseconds[0]) / 1e9 if known else status.st_mtime
