"""The engine: prepares accepted requests, keeps them in the spool, and forwards them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, Protocol

from mita_otel.errors import raise_interrupt
from mita_otel.mobile.credentials import Refused
from mita_otel.mobile.destinations import Destination, SentryDestination, SpoolRecord
from mita_otel.mobile.envelope import EnvelopeError, UnsupportedEncodingError, known_encodings
from mita_otel.mobile.forwarder import Forwarder
from mita_otel.mobile.preparation import (
    MALFORMED,
    RATE_LIMITED,
    Intake,
    OtlpUnavailableError,
    Prepared,
    Preparer,
)
from mita_otel.mobile.rate_limits import ForwardedRateLimits, categories_of
from mita_otel.mobile.reply import EngineStatus, Reply, refusal
from mita_otel.mobile.spool import Spool, SpoolFullError, spool_folder
from mita_otel.mobile.upstream import Upstream
from mita_otel.policy import Policy
from mita_otel.policy.mobile import Priority
from mita_otel.redaction import Redactor
from mita_otel.spool import NO_LOCKS, locks_available

_logger = logging.getLogger("mita_otel.mobile")

_TOO_LARGE: Final = frozenset({"too_large", "bomb", "header_too_large", "too_many_items"})
_COME_BACK_S: Final = 60


class Engine:
    """Processes requests; thread-safe.

    Args:
        policy: The policy.
        redactor: The redaction boundary.
        env: Environment variables.
        stores: Creates the store destination of a project. None: there is no store.
        clock: Seconds since the epoch.
        cpu_clock: CPU seconds of the current thread.
    """

    def __init__(
        self,
        policy: Policy,
        redactor: Redactor,
        env: Mapping[str, str],
        stores: Callable[[str], Destination] | None = None,
        *,
        clock: Callable[[], float] = time.time,
        cpu_clock: Callable[[], float] = time.thread_time,
    ) -> None:
        mobile = policy.mobile
        self._mobile = mobile
        redactor.compile()  # now, so that the first request does not wait for it
        self._clock = clock
        self._cpu_clock = cpu_clock
        self._important = frozenset(mobile.spool.durable)
        self._important_categories = frozenset(
            category
            for kind, rule in mobile.items.items()
            if rule.priority in self._important and rule.action != "refuse"
            for category in categories_of(kind)
        )
        if not locks_available():
            _logger.error(
                "the mobile gateway refuses every request: %s, and its spool needs them; run the gateway on a "
                "POSIX system",
                NO_LOCKS,
            )
        self._counting = threading.Lock()
        self._status = EngineStatus()
        self._spool = Spool(mobile.spool, spool_folder(mobile.spool, env), self._lost, clock=clock)
        self._limits: dict[str, ForwardedRateLimits] = {}
        destinations: dict[tuple[str, str], Destination] = {}
        for name, project in mobile.projects.items():
            self._limits[name] = ForwardedRateLimits()
            if project.upstream:
                forward = mobile.forward
                upstream = Upstream(
                    project.upstream, timeout_s=forward.timeout_s, connections=forward.senders, env=env
                )
                destinations["sentry", name] = SentryDestination(
                    upstream, self._limits[name], compression_level=forward.compression_level, clock=clock
                )
            if project.store and stores is not None:
                destinations["store", name] = stores(name)
        self._destinations = destinations
        self._forwarder = Forwarder(mobile.forward, self._spool, destinations, self._lost)
        self._preparer = Preparer(policy, redactor, self._is_limited)
        self._preparing = threading.Lock()
        self._adopted_at = float("-inf")

    def take(self, intake: Intake) -> Reply:
        """Prepare a request, keep what is forwarded, and return the response. Never raises."""
        started = self._cpu_clock()
        reply = self._take(intake)
        reply.cpu_s = self._cpu_clock() - started
        return reply

    def status(self) -> EngineStatus:
        """Return the status since the last call. At intervals, adopt the records of dead processes."""
        now = time.monotonic()
        if now - self._adopted_at >= self._mobile.spool.adopt_s:
            self._adopted_at = now
            self._adopt()
        with self._counting:
            status, self._status = self._status, EngineStatus()
        status.delivered, self._forwarder.delivered = self._forwarder.delivered, 0
        status.records, status.bytes, status.waiting = self._spool.counts()
        status.destinations = self._forwarder.status()
        return status

    def flush(self, timeout_s: float) -> bool:
        """Wait until no record is left that may be sent now. False if that takes too long."""
        return self._forwarder.flush(timeout_s)

    def stop(self, timeout_s: float) -> bool:
        """Flush, then stop. The rest stays in the spool. False if flushing takes too long."""
        stopped = self._forwarder.stop(timeout_s)
        self._spool.close()
        return stopped

    def _take(self, intake: Intake) -> Reply:
        try:
            with self._preparing:
                otlp = intake.form == "otlp_traces"
                prepare = self._preparer.prepare_otlp if otlp else self._preparer.prepare
                prepared = prepare(intake)
        except EnvelopeError as error:
            return refusal(413 if error.reason in _TOO_LARGE else 400, error.reason, error.detail)
        except UnsupportedEncodingError:
            known = ", ".join(known_encodings())
            return refusal(415, "unknown_encoding", f"known encodings: {known}", Accept_Encoding=known)
        except OtlpUnavailableError as error:
            _logger.error("OTLP needs %s; install it with: pip install 'mita-otel[otlp]'", error)
            return refusal(501, "no_otlp", "OTLP is not installed here")
        except Refused as no:
            return refusal(no.status, no.reason, no.detail)
        except BaseException as error:  # noqa: BLE001 - the app gets a response whatever fails
            raise_interrupt(error)
            # Without the exception's text, which may quote the data.
            _logger.error("an envelope could not be prepared: %s", type(error).__name__)
            return refusal(500, "failed", "the envelope could not be read")
        reply = self._keep(prepared)
        reply.outcomes, reply.redacted = prepared.outcomes, prepared.redacted
        reply.measured, reply.project = prepared.measured, prepared.project
        reply.errors = prepared.errors if not reply.reason else []  # a refused request is sent again
        limits = self._limits[prepared.project].header(self._waited_out(prepared.project))
        if limits:
            reply.headers.setdefault("X-Sentry-Rate-Limits", limits)
        return reply

    def _keep(self, prepared: Prepared) -> Reply:
        answer = Reply(200, {"id": prepared.event_id} if prepared.event_id else {})
        if prepared.payload:
            return self._put(prepared) or answer
        if prepared.only(RATE_LIMITED):
            kinds = [kind for kind, _ in prepared.outcomes]
            limits = self._limits[prepared.project]
            seconds = max(limits.seconds_left(categories_of(kind)) for kind in kinds)
            wait = str(max(1, round(seconds)))
            return refusal(429, "rate_limited", "Sentry limits the rate of these items", Retry_After=wait)
        if prepared.only(MALFORMED):
            return refusal(400, "malformed_items", "no item is a JSON object")
        return answer

    def _put(self, prepared: Prepared) -> Reply | None:
        """Put the records into the spool. Returns the response if they were refused, else None."""
        project = self._mobile.projects[prepared.project]
        for destination in ("sentry", "store"):
            if (destination, prepared.project) not in self._destinations:
                continue
            record = SpoolRecord(
                destination,
                prepared.project,
                prepared.priority,
                prepared.categories,
                prepared.form,
                self._clock(),
                prepared.header,
            )
            try:
                self._spool.put(record, prepared.payload)
            except SpoolFullError as error:
                _logger.error("mobile telemetry is refused: %s", error)
                reply = refusal(
                    503 if prepared.priority in self._important else 429,
                    "spool_full",
                    f"the gateway cannot keep what {project.service} sends",
                    Retry_After=str(_COME_BACK_S),
                )
                reply.hold = prepared.priority in self._important
                return reply
        self._forwarder.wake()
        return None

    def _adopt(self) -> None:
        adopted = self._spool.adopt()
        if adopted:
            _logger.warning("mobile telemetry: adopted %d records of a process that has ended", adopted)
        count, _, _ = self._spool.counts()
        if count:
            self._forwarder.wake()

    def _is_limited(self, project: str, categories: tuple[str, ...], priority: Priority) -> bool:
        if ("store", project) in self._destinations:
            return False  # the store accepts it now, and Sentry's record waits
        seconds = self._limits[project].seconds_left(categories)
        return seconds > (self._mobile.forward.wait_out_s if priority in self._important else 0)

    def _waited_out(self, project: str) -> list[str]:
        """Return categories that are accepted despite Sentry's limit: apps would drop them if they knew the limit."""
        limits = self._limits[project]
        lefts = ((one, limits.seconds_left((one,))) for one in self._important_categories)
        return [category for category, left in lefts if 0 < left <= self._mobile.forward.wait_out_s]

    def _lost(self, reason: str, priority: Priority) -> None:
        with self._counting:
            self._status.lost[reason, priority] += 1


class EngineGoneError(Exception):
    """The engine ended before it answered."""


class Runner(Protocol):
    """Runs an engine. Only `status`, `flush` and `stop` block."""

    def submit(self, intake: Intake, /) -> Future[Reply]:
        """Pass a request to the engine."""

    def status(self) -> EngineStatus | None:
        """Return the engine's status. None: the engine has ended."""

    def flush(self, timeout_s: float, /) -> bool:
        """Wait until no record is left that may be sent now. False if that takes too long."""

    def stop(self, timeout_s: float, /) -> bool:
        """Flush, then stop. False if flushing takes too long."""


class ThreadRunner:
    """Runs an engine on threads of this process.

    Args:
        engine: The engine.
        threads: Maximum number of concurrent requests.
    """

    def __init__(self, engine: Engine, threads: int) -> None:
        self._engine = engine
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="mita-otel-mobile-take")

    def submit(self, intake: Intake) -> Future[Reply]:
        """Pass a request to the engine."""
        return self._pool.submit(self._engine.take, intake)

    def status(self) -> EngineStatus | None:
        """Return the engine's status."""
        return self._engine.status()

    def flush(self, timeout_s: float) -> bool:
        """Wait until no record is left that may be sent now. False if that takes too long."""
        return self._engine.flush(timeout_s)

    def stop(self, timeout_s: float) -> bool:
        """Flush, then stop. False if flushing takes too long."""
        stopped = self._engine.stop(timeout_s)
        self._pool.shutdown(wait=False, cancel_futures=True)
        return stopped
