"""The gateway without HTTP: projects, budgets and rates of clients, and the engine that does the work."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future

from mita_otel.errors import raise_interrupt
from mita_otel.mobile.credentials import Projects
from mita_otel.mobile.destinations import store_destinations
from mita_otel.mobile.engine import Engine, Runner, ThreadRunner
from mita_otel.mobile.engine_process import ProcessRunner
from mita_otel.mobile.gateway_metrics import GatewayMetrics
from mita_otel.mobile.intake_budget import ClientRates, IntakeBudget
from mita_otel.mobile.preparation import Intake
from mita_otel.mobile.reply import EngineStatus, Reply, refusal
from mita_otel.policy import Policy
from mita_otel.processors.queues.stage import Stage, seconds_left
from mita_otel.redaction import Redactor

_logger = logging.getLogger("mita_otel.mobile")


class MobileGateway(Stage):
    """Receives the telemetry of mobile apps and forwards it: redacted, measured, bounded.

    Nothing is started before `start()`, `start_in_background()` or the first request.

    Args:
        policy: The policy. Its section `mobile` names the apps and the destinations.
        metrics: Counts requests, and passes measured spans on. None: a new one.
        env: Environment variables. None: those of the process.
    """

    def __init__(
        self, policy: Policy, *, metrics: GatewayMetrics | None = None, env: Mapping[str, str] | None = None
    ) -> None:
        self.policy = policy
        """The policy."""
        self.metrics = metrics or GatewayMetrics()
        """The counts so far."""
        self.projects = Projects(policy.mobile.projects)
        """The known apps."""
        self.intake_budget = IntakeBudget(policy.mobile.intake)
        """The requests in memory."""
        self.rates = ClientRates(policy.mobile.rate)
        """The rates of the clients."""
        self._env = os.environ if env is None else env
        self._lock = threading.Lock()
        self._runner: Runner | None = None
        self._starting: threading.Thread | None = None
        self._pid = 0
        self._ending = threading.Event()
        if not policy.mobile.projects:
            _logger.warning(
                "the mobile gateway refuses every request: the policy has no [mobile.projects.NAME]; "
                "add one with the id and the keys of an app's DSN, and an upstream"
            )

    def start(self) -> None:
        """Start the engine if it does not run, and wait until it answers, so that no request waits for it.

        It adopts the records of dead processes.
        """
        self._running()
        self._quietly(self._update_status)

    def start_in_background(self) -> None:
        """Start the engine on another thread: servers that mount the gateway, or serve without lifespan events, do not.

        Without apps there is no engine, because every request is refused.
        """
        if self.policy.mobile.projects:
            thread = threading.Thread(target=self._start_early, name="mita-otel-mobile-start", daemon=True)
            self._starting = thread
            thread.start()

    def _start_early(self) -> None:
        try:
            with self._lock:
                if not self._ending.is_set():
                    self._start_runner()
        except BaseException as error:
            raise_interrupt(error)
            _logger.exception("the mobile gateway's engine could not be started; the first request starts it")
        self._quietly(self._update_status)

    async def take(self, intake: Intake) -> Reply:
        """Pass an accepted request to the engine and return its response."""
        try:
            future = self._running().submit(intake)
            future.add_done_callback(self._count_reply)
            return await asyncio.wait_for(
                asyncio.wrap_future(future), self.policy.mobile.intake.answer_timeout_s
            )
        except TimeoutError:
            reply = refusal(503, "too_slow", "the gateway is too busy", Retry_After="60")
        except Exception as error:  # noqa: BLE001 - the app gets a response whatever fails
            _logger.error("the mobile gateway's engine did not answer: %s", error)
            reply = refusal(503, "engine_gone", "the gateway could not take it", Retry_After="60")
        reply.hold = True
        self.metrics.count_reply(reply)
        return reply

    def status(self) -> EngineStatus:
        """Ask the engine for its status: waiting records and the state of the destinations."""
        self._update_status()
        return self.metrics.engine_status

    def flush(self, deadline_s: float) -> bool:
        """Send everything that may go now. Returns False if the deadline passed first."""
        runner = self._own_runner()
        if runner is None:
            return True
        flushed = runner.flush(seconds_left(deadline_s))
        self._update_status()
        return flushed

    def close(self, timeout_s: float = 0.5) -> None:
        """Stop. What is left stays in the spool. Flush first: this does not wait long."""
        with self._lock:
            self._ending.set()
            runner = self._own_runner()
        if runner is not None:
            runner.stop(timeout_s)
        if self._starting is not None and self._pid == os.getpid():
            self._starting.join(timeout_s)

    def _own_runner(self) -> Runner | None:
        return self._runner if self._pid == os.getpid() else None

    def _running(self) -> Runner:
        with self._lock:
            return self._start_runner()

    def _start_runner(self) -> Runner:
        """Return the engine, after starting it if it does not run. The caller holds the lock."""
        if self._runner is None or self._pid != os.getpid():
            # After a fork, the engine belongs to the parent.
            self._pid = os.getpid()
            self._runner = self._make_runner()
            threading.Thread(target=self._poll_engine, name="mita-otel-mobile-status", daemon=True).start()
        return self._runner

    def _make_runner(self) -> Runner:
        intake = self.policy.mobile.intake
        if intake.isolation == "process":
            return ProcessRunner(self.policy)
        stores = store_destinations(self.policy, self._env)
        engine = Engine(self.policy, Redactor(self.policy), self._env, stores)
        return ThreadRunner(engine, intake.threads)

    def _count_reply(self, future: Future[Reply]) -> None:
        if not future.cancelled() and future.exception() is None:
            self.metrics.count_reply(future.result())

    def _update_status(self) -> None:
        runner = self._own_runner()
        if runner is not None:
            self.metrics.update(runner.status())

    def _poll_engine(self) -> None:
        pid = os.getpid()
        self._quietly(self._update_status)
        while not self._ending.wait(self.policy.mobile.intake.news_s) and pid == os.getpid():
            self._quietly(self._update_status)

    def _quietly(self, call: Callable[[], None]) -> None:
        try:
            call()
        except BaseException as error:
            raise_interrupt(error)
            _logger.exception("the mobile gateway could not read the status of its engine")
