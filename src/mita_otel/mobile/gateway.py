"""The gateway: who is let in, and what becomes of it. HTTP is `asgi`'s, the work is the engine's."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future

from mita_otel.mobile.client_rates import ClientRates
from mita_otel.mobile.credentials import Projects
from mita_otel.mobile.engine import Engine
from mita_otel.mobile.engine_process import ProcessRunner
from mita_otel.mobile.gateway_metrics import GatewayMetrics
from mita_otel.mobile.intake_budget import IntakeBudget
from mita_otel.mobile.preparation import Intake
from mita_otel.mobile.reply import EngineStatus, Reply, refusal
from mita_otel.mobile.runner import Runner, ThreadRunner
from mita_otel.mobile.store_destination import store_destinations
from mita_otel.policy import Policy
from mita_otel.processors.queues.stage import Stage, seconds_left
from mita_otel.redaction import Redactor

_logger = logging.getLogger("mita_otel.mobile")


class MobileGateway(Stage):
    """Takes what mobile apps send, and sends it on, redacted, measured, bounded.

    Nothing starts before the first request, or `start()`.

    Args:
        policy: The policy; its section `mobile` says from whom, and where to.
        metrics: Counts, and tells who listens to breaches.
        env: Environment variables. None: the process's.
    """

    def __init__(
        self, policy: Policy, *, metrics: GatewayMetrics | None = None, env: Mapping[str, str] | None = None
    ) -> None:
        self.policy = policy
        """The policy."""
        self.metrics = metrics or GatewayMetrics()
        """What was counted so far."""
        self.projects = Projects(policy.mobile.projects)
        """The apps that are known."""
        self.intake_budget = IntakeBudget(policy.mobile.intake)
        """What is in memory."""
        self.rates = ClientRates(policy.mobile.rate)
        """How much each client may send."""
        self._env = os.environ if env is None else env
        self._lock = threading.Lock()
        self._runner: Runner | None = None
        self._pid = 0
        self._ending = threading.Event()
        if not policy.mobile.projects:
            _logger.warning(
                "the mobile gateway refuses everything: the policy has no [mobile.projects.NAME]; "
                "it needs the id and the keys of an app's DSN, and an upstream"
            )

    def start(self) -> None:
        """Start the engine, if it does not run, and look for what an earlier process has left."""
        self._running()

    async def take(self, intake: Intake) -> Reply:
        """Let the engine take a request that was let in, and return its answer."""
        try:
            future = self._running().submit(intake)
            future.add_done_callback(self._tell)
            return await asyncio.wait_for(
                asyncio.wrap_future(future), self.policy.mobile.intake.answer_timeout_s
            )
        except TimeoutError:
            reply = refusal(503, "too_slow", "the gateway is too busy", Retry_After="60")
        except Exception as error:  # noqa: BLE001 - whatever happened to the engine, the app gets an answer
            _logger.error("the mobile gateway's engine did not answer: %s", error)
            reply = refusal(503, "engine_gone", "the gateway could not take it", Retry_After="60")
        reply.hold = True
        self.metrics.count_reply(reply)
        return reply

    def status(self) -> EngineStatus:
        """Return how much waits, and how the destinations are; asks the engine."""
        self._look()
        return self.metrics.engine_status

    def flush(self, deadline_s: float) -> bool:
        """Send everything that may go now. Returns False if the deadline passed first."""
        runner = self._own_runner()
        if runner is None:
            return True
        flushed = runner.flush(seconds_left(deadline_s))
        self._look()
        return flushed

    def close(self, timeout_s: float = 0.5) -> None:
        """Stop. What is left stays in the spool. Flush first: this does not wait long."""
        self._ending.set()
        runner = self._own_runner()
        if runner is not None:
            runner.stop(timeout_s)

    def _own_runner(self) -> Runner | None:
        return self._runner if self._pid == os.getpid() else None

    def _running(self) -> Runner:
        with self._lock:
            if self._runner is None or self._pid != os.getpid():
                # After a fork, the parent's engine is the parent's.
                self._pid = os.getpid()
                self._runner = self._make_runner()
                threading.Thread(target=self._look_again, name="mita-otel-mobile-news", daemon=True).start()
            return self._runner

    def _make_runner(self) -> Runner:
        intake = self.policy.mobile.intake
        if intake.isolation == "process":
            return ProcessRunner(self.policy)
        stores = store_destinations(self.policy, self._env)
        engine = Engine(self.policy, Redactor(self.policy), self._env, stores)
        return ThreadRunner(engine, intake.threads)

    def _tell(self, future: Future[Reply]) -> None:
        if not future.cancelled() and future.exception() is None:
            self.metrics.count_reply(future.result())

    def _look(self) -> None:
        runner = self._own_runner()
        if runner is not None:
            self.metrics.update(runner.status())

    def _look_again(self) -> None:
        pid = os.getpid()
        self._quietly(self._look)
        while not self._ending.wait(self.policy.mobile.intake.news_s) and pid == os.getpid():
            self._quietly(self._look)

    def _quietly(self, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception:
            _logger.exception("the mobile gateway could not look at its spool")
